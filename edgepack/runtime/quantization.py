"""Real numbers to stored integers and back, as TFLite's own QUANTIZE operator does it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def quantize(
    values: npt.ArrayLike, *, scale: float, zero_point: int, dtype: npt.DTypeLike
) -> npt.NDArray[Any]:
    """Stored integers for real values: ``clip(round(x / scale) + zero_point)``.

    Ties are rounded away from zero and the division is done in float32, as in TFLite's reference kernel
    (``AffineQuantize`` with ``TfLiteRound``); numpy's `rint` would take ties to even.

    Args:
      values: float32 array of any shape.
      scale, zero_point: quantization parameters of the tensor; scale > 0.
      dtype: integer dtype of the tensor; results are clipped to its range.

    Example:
      >>> quantize([0.5, 1.5, -0.5, 1e9], scale=1.0, zero_point=1, dtype="int8").tolist()
      [2, 3, 0, 127]
    """
    quotient = np.asarray(values, np.float32) / np.float32(scale)
    whole = np.trunc(quotient)
    # Not trunc(x + 0.5): that sum rounds 0.49999997 up to 1.
    rounded = whole + np.sign(quotient) * (np.abs(quotient - whole) >= 0.5)
    limits = np.iinfo(dtype)
    # In float64: int32's limits plus a zero point don't fit float32 exactly.
    shifted = rounded.astype(np.float64) + zero_point
    stored: npt.NDArray[Any] = np.clip(shifted, limits.min, limits.max).astype(dtype)
    return stored


def dequantize(stored: npt.ArrayLike, *, scale: float, zero_point: int) -> npt.NDArray[np.float32]:
    """Real values of stored integers: ``scale * (q - zero_point)`` in float32.

    Example:
      >>> dequantize(np.array([-128, 127], np.int8), scale=0.00390625, zero_point=-128).tolist()
      [0.0, 0.99609375]
    """
    centred = np.asarray(stored).astype(np.int64) - zero_point
    return (np.float32(scale) * centred.astype(np.float32)).astype(np.float32)
