"""Inputs that hold ids: numbers that name a row of an embedding table.

An int8 input of scale 0.64 sends id 37 to row 36 or 38, and the model is destroyed though every tensor looks
fine (measured: F1 0.94 → 0.44). So such an input becomes int32 in the .tflite and is gathered with directly:
exact, and no float op is left between it and the table.
"""

from __future__ import annotations

from typing import Any

from edgepack.backend import walk

CARRIERS = frozenset(
    {
        "Activation", "Concatenate", "Cropping1D", "Dropout", "Flatten", "Permute", "RepeatVector", "Reshape",
        "SpatialDropout1D",
    }
)  # fmt: skip
"""Layers that hand ids on unchanged, whatever their dtype."""
CARRIER_OPS = frozenset(
    {
        "__operators__.getitem", "cast", "concat", "convert_to_tensor", "expand_dims", "identity", "reshape",
        "slice", "split", "squeeze", "stack", "strided_slice", "tile", "transpose", "unstack",
    }
)  # fmt: skip
READERS = frozenset({"Embedding"})


def find(model: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which inputs of a functional tf_keras model are ids.

    Returns:
      Names of the inputs that feed nothing but embeddings, and of those that feed an embedding and something
      else.
    """
    pure, mixed = [], []
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        ends = _ends(model, tensor, set())
        if "ids" in ends:
            (pure if ends == {"ids"} else mixed).append(name)
    return tuple(pure), tuple(mixed)


def keep_integers(model: Any) -> None:
    """Lets int32 values through to the layers: a functional model would cast them to its inputs' float32."""
    model._conform_to_reference_input = lambda tensor, ref_input: tensor


def _ends(model: Any, tensor: Any, seen: set[int]) -> set[str]:
    ends: set[str] = set()
    if any(tensor is output for output in model.outputs):
        ends.add("number")
    for node in walk.consumers(model, tensor):
        if id(node) in seen:
            continue
        seen.add(id(node))
        layer = node.layer
        if type(layer).__name__ in READERS:
            ends.add("ids")
        elif _carries(layer):
            for result in walk.results(node):
                ends |= _ends(model, result, seen)
        else:
            ends.add("number")
    return ends


def _carries(layer: Any) -> bool:
    kind = type(layer).__name__
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        symbol = str(getattr(layer, "symbol", layer.name))
        return symbol.split("tf.")[-1].removeprefix("compat.v1.") in CARRIER_OPS
    if kind == "Activation":
        return getattr(layer.activation, "__name__", "") == "linear"
    return kind in CARRIERS
