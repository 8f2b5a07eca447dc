"""Laws of rank choice and of what a rank saves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.errors import BadInputError
from edgepack.numerics import factorize, forms, rank

spectra = st.lists(st.floats(0.0, 100.0), min_size=1, max_size=20).map(
    lambda found: np.array(sorted(found, reverse=True))
)
fractions = st.floats(0.0, 1.0)
SHAPES: list[tuple[forms.Form, tuple[int, ...]]] = [
    ("dense", (100, 40)),
    ("pointwise", (1, 1, 32, 64)),
    ("conv1d", (5, 16, 32)),
    ("channel", (3, 3, 16, 32)),
    ("spatial", (3, 5, 16, 32)),
]


@given(spectra, fractions)
def test_energy_is_kept_and_one_rank_less_would_not(singular: np.ndarray, energy: float) -> None:
    kept = rank.rank_for_energy(singular, energy)
    power = np.square(singular)
    assert 1 <= kept <= len(singular)
    assert power[:kept].sum() >= energy * power.sum() * (1 - 1e-12)
    assert kept == 1 or power[: kept - 1].sum() < energy * power.sum() * (1 + 1e-12)


@given(spectra, fractions)
def test_error_bound_holds_and_one_rank_less_would_break_it(singular: np.ndarray, error: float) -> None:
    kept = rank.rank_for_error(singular, error)
    assert 1 <= kept <= len(singular)
    assert rank.relative_error(singular, kept) <= error * (1 + 1e-6) + 1e-12
    assert kept == 1 or rank.relative_error(singular, kept - 1) > error * (1 - 1e-6)


@given(spectra, fractions, fractions)
def test_ranks_grow_with_what_is_asked(singular: np.ndarray, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert rank.rank_for_energy(singular, low) <= rank.rank_for_energy(singular, high)
    assert rank.rank_for_error(singular, low) >= rank.rank_for_error(singular, high)


@pytest.mark.parametrize(("form", "shape"), SHAPES)
@given(ratio=fractions)
def test_ratio_is_never_exceeded(form: forms.Form, shape: tuple[int, ...], ratio: float) -> None:
    kept = rank.rank_for_ratio(form, shape, ratio)
    after = rank.saves(form, shape, kept).weights_after
    assert kept == 1 or after <= ratio * math.prod(shape) * (1 + 1e-9)


@pytest.mark.parametrize(("form", "shape"), SHAPES)
def test_savings_count_the_real_factors(form: forms.Form, shape: tuple[int, ...]) -> None:
    parts = factorize.split(form, np.ones(shape, np.float32), 3)
    found = rank.saves(form, shape, 3)
    assert found.weights_after == sum(part.size for part in parts) == found.multiply_adds_after
    assert found.weights_before == math.prod(shape)


@pytest.mark.parametrize(("form", "shape"), SHAPES)
@pytest.mark.parametrize("strides", [(), (1, 2), (2, 1)])
def test_the_largest_useful_rank_pays_and_the_next_does_not(
    form: forms.Form, shape: tuple[int, ...], strides: tuple[int, ...]
) -> None:
    best = rank.max_useful_rank(form, shape, strides)
    assert best >= 1 and rank.saves(form, shape, best, strides).pays
    assert best == forms.full_rank(form, shape) or not rank.saves(form, shape, best + 1, strides).pays


def test_a_stride_along_the_width_costs_the_spatial_form() -> None:
    along_height = rank.saves("spatial", (3, 3, 8, 8), 4, (2, 1)).multiply_adds_after
    along_width = rank.saves("spatial", (3, 3, 8, 8), 4, (1, 2)).multiply_adds_after
    assert (along_height, along_width) == (192, 288)


@given(st.integers(0, 1000))
def test_fast_singular_values_are_those_of_the_svd(seed: int) -> None:
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=generator.integers(1, 30, 2))
    exact = np.linalg.svd(matrix, compute_uv=False)
    assert factorize.singular_values_fast(matrix) == pytest.approx(exact, abs=1e-6 * exact[0])


@pytest.mark.parametrize("function", [rank.rank_for_energy, rank.rank_for_error])
@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan])
def test_fractions_out_of_range_are_refused(function: Any, value: float) -> None:
    with pytest.raises(BadInputError, match="expected a number from 0 to 1"):
        function(np.ones(3), value)
