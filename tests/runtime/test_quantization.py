"""Rounding is TFLite's own."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack import runtime
from edgepack.runtime import quantization
from edgepack.runtime.quantization import dequantize, quantize
from tests import handmade


@pytest.mark.parametrize(("scale", "zero_point"), [(1.0, 0), (0.5, 3), (0.0123, -7), (0.1, -128)])
def test_same_integers_as_the_quantize_operator(tmp_path: Path, scale: float, zero_point: int) -> None:
    """Ties, just below ties, ordinary values and values out of range, against TFLite's reference kernel."""
    model = handmade.quantizer(tmp_path / "m.tflite", scale=scale, zero_point=zero_point)
    ties = ((np.arange(-32, 32) + 0.5) * scale).astype(np.float32)[None]
    ordinary = (np.random.default_rng(0).normal(size=(100, 64)) * 60 * scale).astype(np.float32)
    values = np.concatenate([ties, np.nextafter(ties, np.float32(0)), ties * 1e6, ordinary])
    expected = runtime.run_golden(model, {"x": values})["q"]
    found = quantize(values, scale=scale, zero_point=zero_point, dtype="int8")
    np.testing.assert_array_equal(found, expected)


@given(
    scale=st.floats(2.0**-14, 8.0, width=32),
    zero_point=st.integers(-128, 127),
    stored=st.lists(st.integers(-128, 127), min_size=1),
)
def test_round_trip(scale: float, zero_point: int, stored: list[int]) -> None:
    codes = np.array(stored, np.int8)
    real = dequantize(codes, scale=scale, zero_point=zero_point)
    assert real.dtype == np.float32
    np.testing.assert_array_equal(quantize(real, scale=scale, zero_point=zero_point, dtype="int8"), codes)


def test_wide_integers_are_clipped_not_wrapped() -> None:
    assert quantize([1e30, -1e30], scale=1.0, zero_point=0, dtype="int16").tolist() == [32767, -32768]
    assert quantize([-5.0], scale=1.0, zero_point=2, dtype="uint8").tolist() == [0]


def test_examples() -> None:
    result = doctest.testmod(quantization)
    assert result.attempted > 0 and result.failed == 0
