"""Recurrent layers without while loops, which the converter's int8 calibration does not survive.

TensorFlow fuses an LSTM into one UNIDIRECTIONAL_SEQUENCE_LSTM only when it has tanh and sigmoid, a bias, no
mask, and no state passed in or out. Every other recurrence becomes a while loop; calibrating one for int8
ends the process with a segmentation fault (TF 2.19.1). Unrolled over a fixed number of timesteps the same
arithmetic is plain ops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgepack import errors

MAX_STEPS = 512
"""Above this many copies of the cell the graph takes minutes to convert and the file is mostly op headers."""


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A recurrent layer that loops, and the layer of the model that holds it (itself, or a Bidirectional
    …)."""

    layer: Any
    outer: Any


def looping(model: Any) -> list[Loop]:
    """The recurrent layers of a model that would become while loops, those inside wrappers included."""
    import tf_keras

    found = []
    for outer in model.layers:
        for layer in outer._flatten_layers():  # itself first
            if isinstance(layer, tf_keras.layers.RNN) and not layer.unroll and not _fuses(layer, outer):
                found.append(Loop(layer=layer, outer=outer))
    return found


def unroll(loops: list[Loop]) -> list[dict[str, str]]:
    """Makes the layers unroll when the model is traced next, and returns a note for each.

    Raises:
      ConversionError: a layer has no fixed number of timesteps, or too many.
    """
    notes = []
    for loop in loops:
        steps = _timesteps(loop)
        if steps is None:
            raise errors.ConversionError(
                f"layer {loop.outer.name!r} loops over a free number of timesteps, which cannot be int8: give "
                "its model input a fixed length (Input(shape=(timesteps, features))) or take "
                'scheme = "dynamic"'
            )
        if steps > MAX_STEPS:
            raise errors.ConversionError(
                f"layer {loop.outer.name!r} loops over {steps} timesteps; unrolled, which int8 needs here, at "
                f'most {MAX_STEPS} are possible: shorten the sequence or take scheme = "dynamic"'
            )
        loop.layer.unroll = True
        loop.layer._could_use_gpu_kernel = False  # else tf_keras takes the loop it hopes to fuse
        if hasattr(loop.layer.cell, "implementation"):
            loop.layer.cell.implementation = 2  # one product for all gates in place of one each
        reason = f"unrolled over its {steps} timesteps: as a while loop it cannot be calibrated for integers"
        notes.append({"layer": loop.outer.name, "action": "note", "reason": reason})
    return notes


def _fuses(layer: Any, outer: Any) -> bool:
    if type(layer).__name__ != "LSTM" or not getattr(layer, "_could_use_gpu_kernel", False):
        return False
    fed = [tensor for node in outer._inbound_nodes for tensor in node.keras_inputs]
    masked = any(getattr(tensor, "_keras_mask", None) is not None for tensor in fed)
    states = layer.return_state or layer.stateful or len(fed) > len(outer._inbound_nodes)
    return not masked and not states


def _timesteps(loop: Loop) -> int | None:
    axis = 0 if loop.layer.time_major else 1
    steps = {node.keras_inputs[0].shape[axis] for node in loop.outer._inbound_nodes if node.keras_inputs}
    return max(steps) if steps and None not in steps else None
