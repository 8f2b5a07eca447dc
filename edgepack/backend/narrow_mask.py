"""Masking by a sentinel value, made fit for int8.

Padding rows of −4,200,000 beside features of 0 … 1 stretch an int8 input's range until everything real is one
code. But the sentinel only says "skip this row". So the range is calibrated on the real values plus two steps
below them, the quantizer clips the sentinel onto the lowest code (−128), and the layer asks whether anything
lies above the next one: an integer comparison. A row is skipped when all its features lie below everything
seen in calibration.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack.backend import walk
from edgepack.data import Dataset

LEVELS = 255
COARSEST_COMPARED = 1 / 16
"""Scale from which on a quantized comparison is safe from its kernel's rounding to 1/256."""
OUTLYING = 8.0
"""A sentinel this many real ranges away from the real values ruins the int8 scale; a nearer one is left
alone."""


@dataclass(frozen=True, kw_only=True)
class Narrowed:
    """One Masking layer that was narrowed: calibration values of `name` are clipped from below at `floor`."""

    name: str
    layer: str
    floor: float


def narrow(model: Any, dataset: Dataset) -> list[Narrowed]:
    """Rewrites Masking layers that read an input directly, where the sentinel lies far below the real values.

    The change is made on the layer objects and shows when the model is traced next.
    """
    done = []
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        readers = walk.consumers(model, tensor)
        masking = [node.layer for node in readers if type(node.layer).__name__ == "Masking"]
        if len(masking) != 1 or len(readers) != 1 or len(masking[0]._inbound_nodes) != 1:
            continue
        span = _real_span(dataset, name, masking[0].mask_value)
        if span is None:
            continue
        lowest, highest = min(span[0], 0.0), max(span[1], 0.0)  # an int8 range always holds zero
        step = (highest - lowest) / LEVELS or 1.0
        if masking[0].mask_value > lowest - OUTLYING * (highest - lowest + step):
            continue
        floor = lowest - 2 * step
        _compare_with(masking[0], *_threshold(floor, highest))
        done.append(Narrowed(name=name, layer=masking[0].name, floor=floor))
    return done


def _threshold(floor: float, highest: float) -> tuple[float, float]:
    """What the code −127 stands for in the grid that the converter will choose, and a factor to compare
    under.

    The sentinel is −128 and the lowest real value −126, so −127 tells them apart with a code to spare.
    TFLite's quantized comparison rounds both sides to 1/256, so finer grids are multiplied up first.

    Example:
      >>> _threshold(-2.0, 253.0), _threshold(-0.0078125, 0.98828125)
      ((-1.0, 1.0), (-0.00390625, 16.0))
    """
    scale = (highest - floor) / LEVELS
    zero_point = round(-128 - floor / scale)
    factor = max(1.0, COARSEST_COMPARED / scale)
    return (-127 - zero_point) * scale, factor


def _real_span(dataset: Dataset, name: str, sentinel: float) -> tuple[float, float] | None:
    lowest, highest = np.inf, -np.inf
    for batch in dataset.batches(256):
        values = np.asarray(batch[name], dtype=np.float32)
        real = values[values != np.float32(sentinel)]
        if real.size:
            lowest, highest = min(lowest, float(real.min())), max(highest, float(real.max()))
    return (lowest, highest) if np.isfinite(lowest) else None


def _compare_with(layer: Any, threshold: float, factor: float) -> None:
    import tensorflow as tf

    def compute_mask(inputs: Any, mask: Any = None) -> Any:
        values = inputs if factor == 1.0 else inputs * factor
        return tf.reduce_any(tf.greater(values, threshold * factor), axis=-1)

    layer._compute_output_and_mask_jointly = False  # Masking.call sets its mask itself; ours is asked for it
    layer.compute_mask = compute_mask
    layer.call = lambda inputs: inputs
