"""Ranges hold zero, stay inside of what was seen, and least squares is no worse than the whole range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.numerics.ranges import least_squares, percentile


def _histogram(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    low, high = float(values.min()), float(values.max())
    return np.histogram(values, bins=512, range=(low, high))[0], low, high


def _rounding_error(values: np.ndarray, ends: tuple[float, float]) -> float:
    step = (ends[1] - ends[0]) / 255.0
    codes = np.clip(np.round((values - ends[0]) / step), 0, 255)
    return float(np.mean((codes * step + ends[0] - values) ** 2))


@given(seed=st.integers(0, 10_000), spread=st.floats(0.1, 50.0), shift=st.floats(-3.0, 3.0))
@settings(max_examples=25)
def test_both_stay_inside_and_hold_zero(seed: int, spread: float, shift: float) -> None:
    values = np.random.default_rng(seed).standard_t(3, 4000) * spread + shift
    for choose in (percentile, least_squares):
        low, high = choose(*_histogram(values))
        assert min(values.min(), 0.0) <= low <= 0.0 <= high <= max(values.max(), 0.0)


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15)
def test_least_squares_beats_the_whole_range_where_tails_are_long(seed: int) -> None:
    values = np.maximum(np.random.default_rng(seed).standard_t(2, 20_000), 0.0)
    histogram, low, high = _histogram(values)
    chosen = least_squares(histogram, low, high)
    assert _rounding_error(values, chosen) <= _rounding_error(values, (low, high)) * 1.01


def test_an_even_spread_is_kept_whole() -> None:
    low, high = least_squares(np.full(512, 10), 0.0, 8.0)
    assert (low, high) == pytest.approx((0.0, 8.0))


def test_a_tensor_that_never_moves_keeps_its_range() -> None:
    for choose in (percentile, least_squares):
        assert choose(np.zeros(16), 2.0, 2.0) == (0.0, 2.0)
