"""Laws of the Tucker-2 form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.errors import BadInputError
from edgepack.numerics import rank, tucker

shapes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 8), st.integers(1, 8))


def random_kernel(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def relative_error(kernel: np.ndarray, ranks: tuple[int, int]) -> float:
    return float(
        np.linalg.norm(tucker.join_tucker(*tucker.split_tucker(kernel, ranks)) - kernel)
        / np.linalg.norm(kernel)
    )


@given(shapes, st.integers(0, 1000))
def test_full_ranks_are_the_identity(shape: tuple[int, ...], seed: int) -> None:
    kernel = random_kernel(shape, seed).astype(np.float32)
    assert relative_error(kernel, (shape[2], shape[3])) < 1e-6


@given(shapes, st.integers(0, 1000), st.floats(0.1, 1.0))
@settings(max_examples=50)
def test_the_asked_energy_is_kept(shape: tuple[int, ...], seed: int, energy: float) -> None:
    kernel = random_kernel(shape, seed)
    error = relative_error(kernel, tucker.ranks_for_energy(kernel, energy))
    assert error**2 <= 1.0 - energy + 1e-9


@given(shapes, st.integers(0, 1000), st.floats(0.0, 0.9))
@settings(max_examples=50)
def test_the_error_bound_holds(shape: tuple[int, ...], seed: int, bound: float) -> None:
    kernel = random_kernel(shape, seed)
    assert relative_error(kernel, tucker.ranks_for_error(kernel, bound)) <= bound + 1e-7


def test_an_exact_tucker_kernel_is_found() -> None:
    generator = np.random.default_rng(3)
    kernel = tucker.join_tucker(
        generator.normal(size=(1, 1, 12, 3)),
        generator.normal(size=(3, 3, 3, 4)),
        generator.normal(size=(1, 1, 4, 16)),
    )
    assert tucker.ranks_for_energy(kernel, 0.999999) == (3, 4)
    assert relative_error(kernel, (3, 4)) < 1e-7


def test_sweeps_do_not_hurt() -> None:
    kernel = random_kernel((3, 3, 16, 24), 0)
    errors = [relative_error(kernel, (rank, rank)) for rank in (2, 4, 8, 12, 16)]
    assert errors == sorted(errors, reverse=True)


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(2, 64), st.integers(2, 64)),
    st.floats(0.05, 1.0),
)
@settings(max_examples=50)
def test_the_ratio_is_never_exceeded(shape: tuple[int, ...], ratio: float) -> None:
    ranks = rank.tucker_ranks_for_ratio(shape, ratio)
    assert ranks == (1, 1) or rank.saves_tucker(shape, ranks).weights_after <= ratio * np.prod(shape)


def test_savings_count_the_real_factors() -> None:
    parts = tucker.split_tucker(np.ones((3, 3, 8, 10)), (2, 5))
    assert rank.saves_tucker((3, 3, 8, 10), (2, 5)).weights_after == sum(part.size for part in parts)
    assert rank.saves_tucker((3, 3, 8, 10), (2, 5), (2, 2)).multiply_adds_after == 8 * 2 * 4 + 9 * 10 + 50


def test_bad_ranks_and_shapes_are_refused() -> None:
    with pytest.raises(BadInputError, match=r"expected 1 … 8 and 1 … 10"):
        tucker.split_tucker(np.ones((3, 3, 8, 10)), (9, 1))
    with pytest.raises(BadInputError, match="no Tucker-2 form"):
        tucker.split_tucker(np.ones((3, 8, 10)), (1, 1))
