"""Masking by a value among the real ones, compared in integers.

Keras writes "any feature differs from the mask value" with NOT_EQUAL, which the converter leaves in float, on
dequantized inputs. GREATER has an int8 kernel, and "any |x − value| above half a step of the input's grid" is
the same question once the input is quantized: the grid holds 0 exactly, and every other code is a whole step
away. A sentinel far from the real values needs more: see `edgepack.backend.narrow_mask`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from edgepack.backend import narrow_mask, walk
from edgepack.data import Dataset

OFF_GRID = 1.5
"""Steps from which on a value differs from one that is not 0: it and the difference are both rounded."""
ON_GRID = 0.5


def compare_in_integers(model: Any, dataset: Dataset, *, besides: Collection[str] = ()) -> None:
    """Rewrites Masking layers that read an input directly; it shows when the model is traced next.

    Args:
      dataset: tells the range of each input, and so the step of its grid.
      besides: names of Masking layers that are fit for integers already.
    """
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        layers = [node.layer for node in walk.consumers(model, tensor)]
        for layer in layers:
            if type(layer).__name__ != "Masking" or layer.name in besides or len(layer._inbound_nodes) != 1:
                continue
            step = _step(dataset, name)
            if step:
                _compare(layer, step)


def _step(dataset: Dataset, name: str) -> float:
    """Distance of two codes of the int8 grid that calibration will give an input; 0.0 when it is constant."""
    lowest, highest = 0.0, 0.0  # the grid always holds zero
    for batch in dataset.batches(256):
        values = np.asarray(batch[name], dtype=np.float32)
        lowest, highest = min(lowest, float(values.min())), max(highest, float(values.max()))
    return (highest - lowest) / narrow_mask.LEVELS


def _compare(layer: Any, step: float) -> None:
    import tensorflow as tf

    value = float(layer.mask_value)
    factor = max(1.0, narrow_mask.COARSEST_COMPARED / step)
    threshold = (OFF_GRID if value else ON_GRID) * step * factor

    def compute_mask(inputs: Any, mask: Any = None) -> Any:
        distance = tf.abs(inputs - value if value else inputs)
        return tf.reduce_any(tf.greater(distance * factor, threshold), axis=-1)

    def call(inputs: Any) -> Any:
        """As Keras: masked steps become zeros, which they are already where the mask value is 0."""
        return inputs * tf.cast(compute_mask(inputs)[..., None], inputs.dtype) if value else inputs

    layer._compute_output_and_mask_jointly = False  # Masking.call sets its mask itself; ours is asked for it
    layer.compute_mask = compute_mask
    layer.call = call
