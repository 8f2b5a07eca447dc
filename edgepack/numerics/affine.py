"""Int8 affine arithmetic as in TFLite's quantization specification: real = scale · (stored − zero point).

Weights are symmetric (zero point 0, −127 … 127, one scale per output channel), so that kernels need no cross
terms; activations are asymmetric over −128 … 127 with one scale. Source: "LiteRT 8-bit quantization
specification".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError

Array: TypeAlias = npt.NDArray[Any]

INT8_MIN: Final = -128
INT8_MAX: Final = 127
NARROW_MIN: Final = -127
"""Lowest int8 weight: products of two weights −128 would overflow the int16 lanes of some kernels."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The numbers that a quantized tensor can hold.

    Attributes:
      scale: float64; one number, or one per channel along `axis`.
      zero_point: int64, of the same shape as `scale`.
      axis: which axis of the tensor the channels are; None for one scale.
      narrow: whether −128 is left out, as it is for weights.
    """

    scale: Array
    zero_point: Array
    axis: int | None = None
    narrow: bool = False

    def along(self, values: Array, dimensions: int) -> Array:
        """`scale` or `zero_point`, shaped so that it broadcasts against a tensor of so many dimensions."""
        if self.axis is None:
            return values
        return values.reshape([-1 if axis == self.axis % dimensions else 1 for axis in range(dimensions)])


def symmetric_grid(weights: Array, axis: int | None = None) -> Grid:
    """The grid of a weight tensor: its largest magnitude becomes ±127.

    Args:
      weights: float weights.
      axis: of the output channels, one scale each; None for one scale.

    Example:
      >>> symmetric_grid(np.array([[1.27, -0.5], [0.0, 2.54]]), axis=1).scale.round(6).tolist()
      [0.01, 0.02]
    """
    magnitude = np.abs(np.asarray(weights, np.float64))
    if axis is None:
        peak = magnitude.max(initial=0.0)
    else:
        others = tuple(other for other in range(weights.ndim) if other != axis % weights.ndim)
        peak = magnitude.max(axis=others, initial=0.0)
    # A channel of zeros holds nothing but code 0; any scale says so.
    scale = np.where(peak > 0, peak / INT8_MAX, 1.0)
    return Grid(scale=scale, zero_point=np.zeros(scale.shape, np.int64), axis=axis, narrow=True)


def asymmetric_grid(low: float, high: float) -> Grid:
    """The grid of an activation whose values range from `low` to `high`; zero is always exactly
    representable.

    Raises:
      BadInputError: a bound that is not finite, or low > high.

    Example:
      >>> grid = asymmetric_grid(0.0, 2.55)
      >>> round(float(grid.scale), 6), int(grid.zero_point)
      (0.01, -128)
    """
    if not (np.isfinite(low) and np.isfinite(high)) or low > high:
        raise BadInputError(f"activation range {low} … {high}: expected two finite numbers in order")
    low, high = min(low, 0.0), max(high, 0.0)  # padding and ReLU need an exact zero
    scale = (high - low) / (INT8_MAX - INT8_MIN)
    if scale == 0.0:
        return Grid(scale=np.float64(1.0) * np.ones(()), zero_point=np.zeros((), np.int64))
    zero_point = np.clip(np.rint(INT8_MIN - low / scale), INT8_MIN, INT8_MAX)
    return Grid(scale=np.asarray(scale), zero_point=np.asarray(zero_point, np.int64))


def quantize(values: Array, grid: Grid) -> npt.NDArray[np.int8]:
    """Nearest codes, out-of-range values clipped; ties go away from zero, as TFLite rounds.

    Example:
      >>> quantize(np.array([-5.0, 0.0, 0.016, 1.27]), symmetric_grid(np.array([1.27]))).tolist()
      [-127, 0, 2, 127]
    """
    reals = np.asarray(values, np.float64)
    scaled = reals / grid.along(grid.scale, reals.ndim)
    rounded = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled) + grid.along(grid.zero_point, reals.ndim)
    return np.clip(rounded, NARROW_MIN if grid.narrow else INT8_MIN, INT8_MAX).astype(np.int8)


def dequantize(codes: Array, grid: Grid) -> npt.NDArray[np.float32]:
    """The real numbers that codes stand for, float32.

    Example:
      >>> dequantize(np.array([-128, -28], np.int8), asymmetric_grid(0.0, 2.55)).tolist()
      [0.0, 1.0]
    """
    steps = np.asarray(codes, np.float64) - grid.along(grid.zero_point, codes.ndim)
    return (steps * grid.along(grid.scale, codes.ndim)).astype(np.float32)
