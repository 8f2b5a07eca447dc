"""Laws of int8 arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.errors import BadInputError
from edgepack.numerics.affine import asymmetric_grid, dequantize, quantize, symmetric_grid

bounds = st.floats(-1e4, 1e4, allow_nan=False).filter(lambda bound: bound == 0 or abs(bound) > 1e-6)


@given(st.integers(0, 10_000), st.sampled_from([None, 0, 1, -1]))
def test_weights_come_back_within_half_a_step(seed: int, axis: int | None) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.normal(size=generator.integers(1, 9, 2)) * 10.0 ** generator.integers(-6, 4)
    grid = symmetric_grid(weights, axis)
    codes = quantize(weights, grid)
    step = grid.along(grid.scale, 2)
    assert (np.abs(dequantize(codes, grid) - weights) <= step * (0.5 + 1e-5)).all()
    assert codes.min() >= -127
    peaks = np.abs(codes.astype(int)).max(axis=None if axis is None else 1 - axis % 2)
    assert (peaks == 127).all()


@given(st.integers(0, 1000))
def test_signs_are_mirrored(seed: int) -> None:
    weights = np.random.default_rng(seed).normal(size=50)
    grid = symmetric_grid(weights)
    assert np.array_equal(quantize(-weights, grid), -quantize(weights, grid))


@given(bounds, bounds)
def test_activations_come_back_within_half_a_step_and_zero_exactly(one: float, other: float) -> None:
    low, high = sorted((one, other))
    grid = asymmetric_grid(low, high)
    values = np.linspace(low, high, 101)
    back = dequantize(quantize(values, grid), grid)
    # The zero point is rounded, so the ends of the range may lie up to half a step outside the grid.
    assert (np.abs(back - values) <= float(grid.scale) * (1.0 + 1e-4)).all()
    inside = (values > back.min()) & (values < back.max())
    assert (np.abs(back - values)[inside] <= float(grid.scale) * (0.5 + 1e-4)).all()
    assert dequantize(quantize(np.zeros(1), grid), grid)[0] == 0.0


@given(st.integers(0, 1000))
def test_codes_are_fixed_points(seed: int) -> None:
    generator = np.random.default_rng(seed)
    grid = asymmetric_grid(float(-generator.random()), float(generator.random()))
    codes = np.arange(-128, 128, dtype=np.int8)
    assert np.array_equal(quantize(dequantize(codes, grid), grid), codes)


def test_out_of_range_values_are_clipped() -> None:
    grid = asymmetric_grid(-1.0, 1.0)
    assert quantize(np.array([-9.0, 9.0]), grid).tolist() == [-128, 127]


def test_ties_go_away_from_zero() -> None:
    grid = symmetric_grid(np.array([127.0]))
    assert quantize(np.array([0.5, 1.5, -0.5, -2.5]), grid).tolist() == [1, 2, -1, -3]


def test_a_channel_of_zeros_is_zeros() -> None:
    weights = np.array([[0.0, 1.0], [0.0, -2.0]])
    grid = symmetric_grid(weights, axis=1)
    assert quantize(weights, grid)[:, 0].tolist() == [0, 0]
    assert dequantize(quantize(np.zeros((2, 2)), grid), grid).tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_a_constant_zero_activation_has_a_grid() -> None:
    grid = asymmetric_grid(0.0, 0.0)
    assert dequantize(quantize(np.zeros(3), grid), grid).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("low", "high"), [(math.nan, 1.0), (0.0, math.inf), (2.0, 1.0)])
def test_impossible_ranges_are_refused(low: float, high: float) -> None:
    with pytest.raises(BadInputError, match="two finite numbers in order"):
        asymmetric_grid(low, high)
