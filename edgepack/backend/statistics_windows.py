"""Which input positions each output position of a layer reads: im2col as a table of indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack.backend.statistics_graph import Reading

Indices = npt.NDArray[np.int32]


def windows(reading: Reading, sides: Sequence[int]) -> Indices:
    """Table [T, k]: for each output position the flat input positions under the kernel, in the kernel's order.

    Positions in the padding are numbered H·W, one past the map: readers put a row of zeros there.

    Args:
      reading: a convolution or Dense.
      sides: the input map's sides, [H, W] or [steps]; those of a Dense are positions that it treats alike.

    Example:
      >>> from edgepack.gate.graph import Layer
      >>> conv = Layer(name="c", kind="Conv1D", config={"padding": "same"}, weights=(np.ones((3, 1, 1)),))
      >>> windows(Reading(layer="c", role="kernel", opened=conv), [4]).tolist()
      [[4, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4]]
    """
    layer = reading.opened
    count = int(np.prod(sides, dtype=np.int64))
    if layer.kind == "Dense":
        return np.arange(count, dtype=np.int32)[:, None]
    config, kernel = layer.config, layer.weights[0].shape[:-2]
    padding = config.get("padding") or "valid"
    starts, offsets = [], []
    for axis, (side, size) in enumerate(zip(sides, kernel, strict=True)):
        stride, dilation = _along(config.get("strides"), axis), _along(config.get("dilation_rate"), axis)
        reach = (size - 1) * dilation
        before, outputs = _padded(side, reach, stride, padding)
        starts.append(np.arange(outputs) * stride - before)
        offsets.append(np.arange(size) * dilation)
    flat = np.zeros((1, 1), np.int64)
    inside = np.ones((1, 1), bool)
    for side, start, offset in zip(sides, starts, offsets, strict=True):
        at = start[:, None] + offset[None, :]
        good = (at >= 0) & (at < side)
        flat = _outer(flat * side, at, np.add)
        inside = _outer(inside, good, np.logical_and)
    return np.where(inside, flat, count).astype(np.int32)


def _along(value: Any, axis: int) -> int:
    if value is None:
        return 1
    return int(value if isinstance(value, int) else value[axis])


def _padded(side: int, reach: int, stride: int, padding: str) -> tuple[int, int]:
    """Zeros before the map, and output positions, along one axis, as TensorFlow pads."""
    if padding == "valid":
        return 0, max(0, (side - reach - 1) // stride + 1)
    outputs = -(-side // stride)
    if padding == "causal":
        return reach, outputs
    return max(0, (outputs - 1) * stride + reach + 1 - side) // 2, outputs


def _outer(first: npt.NDArray[Any], second: npt.NDArray[Any], join: Any) -> npt.NDArray[Any]:
    """[T, k] and [t, l] → [T·t, k·l]."""
    joined = join(first[:, None, :, None], second[None, :, None, :])
    return joined.reshape(first.shape[0] * second.shape[0], first.shape[1] * second.shape[1])
