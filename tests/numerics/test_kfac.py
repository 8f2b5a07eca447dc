"""Laws of the loss-weighted low-rank forms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.errors import BadInputError
from edgepack.numerics import factorize, kfac, kfac_spatial
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.second_order import loss_increase

SHAPES = {
    "dense": (7, 5),
    "pointwise": (1, 1, 6, 8),
    "conv1d": (3, 4, 5),
    "channel": (3, 2, 3, 6),
    "spatial": (3, 2, 4, 5),
    "across": (2, 3, 3, 6),
}


def moments(form: str, seed: int, *, blocks: bool = False) -> LayerStatistics:
    shape = SHAPES[form]
    random = np.random.default_rng(seed)
    inputs, outputs = int(np.prod(shape[:-1])), shape[-1]
    groups, size = (shape[-2], inputs // shape[-2]) if blocks else (1, inputs)
    spread = random.normal(size=(groups, size, size + 3)) * np.exp(random.normal(size=(groups, size, 1)))
    slope = random.normal(size=(outputs, outputs + 2)) * np.exp(random.normal(size=(outputs, 1)))
    return LayerStatistics(
        mean=random.normal(size=(groups, size)),
        covariance=spread @ spread.swapaxes(1, 2) / size,
        gradient=(slope @ slope.T / outputs)[None],
        positions=3.0,
        samples=10,
        layout="blocks" if blocks else "whole",
    )


def kernel_of(form: str, seed: int) -> np.ndarray:
    return np.random.default_rng(seed + 100).normal(size=SHAPES[form])


FORMS = st.sampled_from(sorted(SHAPES))
SEEDS = st.integers(0, 50)


@given(form=FORMS, seed=SEEDS, blocks=st.booleans())
@settings(max_examples=40)
def test_full_rank_is_the_kernel(form, seed, blocks) -> None:
    kernel, seen = kernel_of(form, seed), moments(form, seed, blocks=blocks and form != "dense")
    family = kfac.low_rank(form, kernel, seen)
    factors = family.factors(len(family.singular))
    np.testing.assert_allclose(factorize.join(form, *factors), kernel, atol=1e-7)
    again = factorize.join(form, *kfac_spatial.refined(form, kernel, factors, seen))
    np.testing.assert_allclose(again, kernel, atol=1e-5)


@given(form=st.sampled_from(["dense", "pointwise", "conv1d", "channel"]), seed=SEEDS, blocks=st.booleans())
@settings(max_examples=40)
def test_the_error_is_the_discarded_energy(form, seed, blocks) -> None:
    kernel, seen = kernel_of(form, seed), moments(form, seed, blocks=blocks and form != "dense")
    family = kfac.low_rank(form, kernel, seen)
    for rank in range(1, len(family.singular) + 1):
        lost = loss_increase(kernel - factorize.join(form, *family.factors(rank)), seen)
        assert lost == pytest.approx(family.errors[rank], rel=2e-3, abs=1e-9 * family.errors[0])


@given(seed=SEEDS, form=st.sampled_from(["spatial", "across"]))
@settings(max_examples=20)
def test_the_spatial_error_is_the_discarded_energy_where_columns_are_independent(seed, form) -> None:
    kernel, seen = kernel_of(form, seed), moments(form, seed)
    height, width, channels, _ = kernel.shape
    long, other = (height, width) if form == "spatial" else (width, height)
    random = np.random.default_rng(seed)
    spread = random.normal(size=(long * channels, long * channels + 2))
    line = (spread @ spread.T).reshape(long, channels, long, channels)
    whole = np.zeros((height, width, channels, height, width, channels))
    for at in range(other):
        if form == "spatial":
            whole[:, at, :, :, at, :] = line
        else:
            whole[at, :, :, at, :, :] = line
    seen = dataclasses.replace(seen, covariance=whole.reshape(1, kernel[..., 0].size, kernel[..., 0].size))
    family = kfac.low_rank(form, kernel, seen)
    lost = loss_increase(kernel - factorize.join(form, *family.factors(3)), seen)
    assert lost == pytest.approx(family.errors[3], rel=2e-3)


@given(form=FORMS, seed=SEEDS, rank=st.integers(1, 4), blocks=st.booleans())
@settings(max_examples=60)
def test_never_worse_than_the_plain_form(form, seed, rank, blocks) -> None:
    kernel, seen = kernel_of(form, seed), moments(form, seed, blocks=blocks and form != "dense")
    plain = factorize.split(form, kernel, rank)
    weighted = kfac_spatial.refined(form, kernel, kfac.low_rank(form, kernel, seen).factors(rank), seen)
    costs = [loss_increase(kernel - factorize.join(form, *each), seen) for each in (plain, weighted)]
    assert costs[1] <= costs[0] * 1.002


@given(form=st.sampled_from(["spatial", "across"]), seed=SEEDS, rank=st.integers(1, 5))
@settings(max_examples=30)
def test_refinement_never_costs(form, seed, rank) -> None:
    kernel, seen = kernel_of(form, seed), moments(form, seed)
    start = kfac.low_rank(form, kernel, seen).factors(rank)
    better = kfac_spatial.refined(form, kernel, start, seen)
    costs = [loss_increase(kernel - factorize.join(form, *each), seen) for each in (start, better)]
    assert costs[1] <= costs[0] * 1.001
    assert [part.shape for part in better] == [part.shape for part in start]


def test_dead_inputs_and_dead_outputs_are_survived() -> None:
    seen = moments("spatial", 0)
    silent = dataclasses.replace(
        seen, covariance=np.zeros_like(seen.covariance), gradient=np.zeros_like(seen.gradient)
    )
    kernel = kernel_of("spatial", 0)
    factors = kfac_spatial.refined(
        "spatial", kernel, kfac.low_rank("spatial", kernel, silent).factors(2), silent
    )
    assert all(np.isfinite(part).all() for part in factors)


def test_grouped_kernels_are_refused() -> None:
    grouped = dataclasses.replace(moments("channel", 0), layout="grouped")
    with pytest.raises(BadInputError, match="grouped groups"):
        kfac.low_rank("channel", kernel_of("channel", 0), grouped)
    with pytest.raises(BadInputError, match="rank 9: expected 1 … 6"):
        kfac.low_rank("channel", kernel_of("channel", 0), moments("channel", 0)).factors(9)
