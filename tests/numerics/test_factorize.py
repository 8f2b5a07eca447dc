"""Laws of the two-factor forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.errors import BadInputError
from edgepack.numerics import factorize, forms

side = st.integers(1, 7)


@st.composite
def kernels(draw: Any) -> tuple[forms.Form, np.ndarray]:
    """A form with a random kernel that fits it, now and then of low rank or zero."""
    form = draw(st.sampled_from(["dense", "pointwise", "conv1d", "channel", "spatial"]))
    shape = {
        "dense": (draw(side), draw(side)),
        "pointwise": (1, 1, draw(side), draw(side)),
        "conv1d": (draw(st.integers(1, 5)), draw(side), draw(side)),
    }.get(form, (draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(side), draw(side)))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    kernel = generator.normal(size=shape) * draw(st.sampled_from([0.0, 1e-6, 1.0, 1e4]))
    if draw(st.booleans()):  # repeated columns: singular
        kernel[..., shape[-1] // 2 :] = kernel[..., :1]
    return form, kernel.astype(np.float32)


@given(kernels())
def test_full_rank_is_the_identity(case: tuple[forms.Form, np.ndarray]) -> None:
    form, kernel = case
    joined = factorize.join(form, *factorize.split(form, kernel, forms.full_rank(form, kernel.shape)))
    assert joined.shape == kernel.shape
    assert np.abs(joined - kernel).max() <= 2e-6 * max(np.linalg.norm(kernel), 1e-30)


@given(kernels(), st.integers(1, 28))
def test_error_is_the_root_of_the_discarded_energy(case: tuple[forms.Form, np.ndarray], rank: int) -> None:
    form, kernel = case
    rank = min(rank, forms.full_rank(form, kernel.shape))
    joined = factorize.join(form, *factorize.split(form, kernel.astype(np.float64), rank))
    singular = np.linalg.svd(factorize.unfold(form, kernel), compute_uv=False)
    expected = math.sqrt(np.square(singular[rank:]).sum())
    assert np.linalg.norm(joined - kernel) == pytest.approx(expected, abs=1e-7 * np.linalg.norm(kernel))


@given(kernels())
def test_factors_have_the_announced_shapes_and_dtype(case: tuple[forms.Form, np.ndarray]) -> None:
    form, kernel = case
    rank = forms.full_rank(form, kernel.shape)
    parts = factorize.split(form, kernel, rank)
    assert tuple(part.shape for part in parts) == forms.factor_shapes(form, kernel.shape, rank)
    assert all(part.dtype == np.float32 and part.flags.c_contiguous for part in parts)


@given(kernels())
def test_splits_repeat_to_the_bit(case: tuple[forms.Form, np.ndarray]) -> None:
    form, kernel = case
    first, second = factorize.split(form, kernel, 1), factorize.split(form, kernel.copy(), 1)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))


def test_singular_values_are_shared_evenly() -> None:
    kernel = np.random.default_rng(0).normal(size=(40, 30))
    reduce, expand = factorize.split_dense(kernel, 5)
    assert np.linalg.norm(reduce, axis=0) == pytest.approx(np.linalg.norm(expand, axis=1))
    assert np.square(np.linalg.norm(reduce, axis=0)) == pytest.approx(
        np.linalg.svd(kernel, compute_uv=False)[:5]
    )


@pytest.mark.parametrize("rank", [0, -1, 4])
def test_rank_out_of_range_is_refused(rank: int) -> None:
    with pytest.raises(BadInputError, match=r"expected 1 … 3"):
        factorize.split_dense(np.ones((3, 5)), rank)


@pytest.mark.parametrize(
    ("form", "shape"),
    [("dense", (3, 3, 2, 2)), ("spatial", (3, 2, 2)), ("pointwise", (3, 1, 2, 2)), ("cp", (3, 2))],
)
def test_shapes_that_do_not_fit_are_refused(form: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInputError):
        factorize.unfold(form, np.ones(shape))
