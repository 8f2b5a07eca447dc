"""Recurrent layers without while loops, which the converter's int8 calibration does not survive.

TensorFlow fuses an LSTM into one UNIDIRECTIONAL_SEQUENCE_LSTM only when it has tanh and sigmoid, a bias, no
mask, and no state passed in or out. Every other recurrence becomes a while loop; calibrating one for int8
ends the process with a segmentation fault (TF 2.19.1). Unrolled over a fixed number of timesteps the same
arithmetic is plain ops.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgepack import errors
from edgepack.data import Dataset

MAX_STEPS = 512
"""Above this many copies of the cell the graph takes minutes to convert and the file is mostly op headers."""


@dataclass(frozen=True, kw_only=True)
class Loop:
    """A recurrent layer that loops, and the layer of the model that holds it (itself, or a Bidirectional
    …)."""

    layer: Any
    outer: Any


def looping(model: Any, *, fused_too: bool = False) -> list[Loop]:
    """The recurrent layers of a model that would become while loops, those inside wrappers included.

    Args:
      fused_too: also the ones that would become one fused op.
    """
    import tf_keras

    found = []
    for outer in model.layers:
        for layer in outer._flatten_layers():  # itself first
            if isinstance(layer, tf_keras.layers.RNN) and _loops(layer, outer, fused_too):
                found.append(Loop(layer=layer, outer=outer))
    return found


def fixed_shapes(model: Any, dataset: Dataset) -> dict[str, tuple[int, ...]]:
    """Shapes for inputs with free dimensions: those of the data.

    A device runs one size, a loop needs to know its length, and an interpreter cannot even prepare a
    convolution over a picture of free size, which it takes to be 1×1.

    Returns:
      {} when every dimension but the batch is fixed, else input name → shape without the batch.
    """
    return {
        name: tuple(dataset.stored(name).shape[1:])
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
        if None in tensor.shape[1:] and name in dataset.inputs
    }


def unroll(loops: list[Loop], shapes: Mapping[str, tuple[int, ...]]) -> list[dict[str, str]]:
    """Makes the layers unroll when the model is traced next, and returns a note for each.

    Args:
      shapes: of inputs that were given fixed dimensions.

    Raises:
      ConversionError: a layer has too many timesteps.
    """
    longest = max((shape[0] for shape in shapes.values() if shape), default=0)
    notes = []
    for loop in loops:
        steps = _timesteps(loop) or longest
        if steps > MAX_STEPS:
            raise errors.ConversionError(
                f"layer {loop.outer.name!r} loops over {steps} timesteps; unrolled, which int8 needs here, "
                f'at most {MAX_STEPS} are possible: shorten the sequence or take scheme = "dynamic"'
            )
        if any(kind.__name__ == "ConvRNN" for kind in type(loop.layer).__mro__):
            loop.layer.call = _forced(loop.layer.call)
        loop.layer.unroll = True
        loop.layer._could_use_gpu_kernel = False  # else tf_keras takes the loop it hopes to fuse
        if hasattr(loop.layer.cell, "implementation"):
            loop.layer.cell.implementation = 2  # one product for all gates in place of one each
        reason = f"unrolled over its {steps} timesteps: as a while loop it cannot be calibrated for integers"
        notes.append({"layer": loop.outer.name, "action": "note", "reason": reason})
    return notes


def _loops(layer: Any, outer: Any, fused_too: bool) -> bool:
    return not getattr(layer, "unroll", False) and (fused_too or not _fuses(layer, outer))


def _forced(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same `call` with every recurrence in it unrolled; convolutional ones ignore their setting."""
    from tf_keras.src import backend

    @functools.wraps(call)
    def unrolled(*args: Any, **kwargs: Any) -> Any:
        original = backend.rnn
        backend.rnn = functools.partial(original, unroll=True)
        try:
            return call(*args, **kwargs)
        finally:
            backend.rnn = original

    return unrolled


def _fuses(layer: Any, outer: Any) -> bool:
    if type(layer).__name__ != "LSTM" or not getattr(layer, "_could_use_gpu_kernel", False):
        return False
    fed = [tensor for node in outer._inbound_nodes for tensor in node.keras_inputs]
    masked = any(getattr(tensor, "_keras_mask", None) is not None for tensor in fed)
    states = layer.return_state or layer.stateful or len(fed) > len(outer._inbound_nodes)
    return not masked and not states


def _timesteps(loop: Loop) -> int | None:
    axis = 0 if getattr(loop.layer, "time_major", False) else 1
    steps = {node.keras_inputs[0].shape[axis] for node in loop.outer._inbound_nodes if node.keras_inputs}
    return max(steps) if steps and None not in steps else None
