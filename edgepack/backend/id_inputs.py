"""Inputs that hold ids: numbers that name a row of an embedding table.

An int8 input of scale 0.64 sends id 37 to row 36 or 38, and the model is destroyed though every tensor looks
fine (measured: F1 0.94 → 0.44). So such an input becomes int32 in the .tflite and is gathered with directly:
exact, and no float op is left between it and the table.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
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
READERS = frozenset({"CategoryEncoding", "Embedding"})
READING_OPS = frozenset({"nn.embedding_lookup", "one_hot"})


def find(model: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which inputs of a functional tf_keras model are ids.

    Returns:
      Names of the inputs that feed nothing but embeddings, and of those that feed an embedding and something
      else.
    """
    pure: list[str] = []
    mixed: list[str] = []
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        ends = _ends(model, tensor, set())
        if "ids" in ends:
            (pure if ends == {"ids"} else mixed).append(name)
    return tuple(pure), tuple(mixed)


def keep_integers(model: Any) -> None:
    """Lets int32 values through to the layers: a functional model would cast them to its inputs' float32."""
    model._conform_to_reference_input = lambda tensor, ref_input: tensor


def keep_exact(model: Any, mixed: tuple[str, ...]) -> None:
    """Gives embeddings exact ids where their input also feeds arithmetic.

    Such an input stays float32 in the .tflite. The way to each embedding is laid a second time, over int32
    from the start, so that nothing on it can be quantized; the float way to it is then unused and vanishes.
    """
    import tensorflow as tf
    import tf_keras

    sources = dict(zip(model.input_names, model.inputs, strict=True))
    ways = []
    for node in walk.nodes(model):
        if type(node.layer).__name__ == "Embedding":
            fed = _sources(model, node.keras_inputs[0], sources)
            if fed and fed <= set(mixed):
                path = tf_keras.Model([sources[name] for name in sorted(fed)], node.keras_inputs[0])
                keep_integers(path)
                ways.append((node.layer, sorted(fed), path))
    original = model.call

    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:
        given = dict(
            zip(model.input_names, inputs if isinstance(inputs, (list, tuple)) else [inputs], strict=True)
        )
        for layer, names, path in ways:
            whole = [tf.cast(given[name], tf.int32) for name in names]
            ids = path(whole if len(whole) > 1 else whole[0])
            layer.call = functools.partial(_looked_up, layer, ids)
        return original(inputs, training=training, mask=mask)

    model.call = call


def _looked_up(layer: Any, ids: Any, inputs: Any) -> Any:
    import tensorflow as tf

    return tf.gather(layer.embeddings, ids)


def _sources(model: Any, tensor: Any, inputs: Mapping[str, Any]) -> set[str]:
    """Names of the model inputs that a tensor is made of."""
    for name, candidate in inputs.items():
        if candidate is tensor:
            return {name}
    for node in walk.nodes(model):
        if any(result is tensor for result in walk.results(node)):
            return {name for fed in node.keras_inputs for name in _sources(model, fed, inputs)}
    return set()


def _ends(model: Any, tensor: Any, seen: set[int]) -> set[str]:
    ends: set[str] = set()
    if any(tensor is output for output in model.outputs):
        ends.add("number")
    for node in walk.consumers(model, tensor):
        if id(node) in seen:
            continue
        seen.add(id(node))
        layer = node.layer
        if _reads_ids(layer):
            ends.add("ids")
        elif _carries(layer):
            for result in walk.results(node):
                ends |= _ends(model, result, seen)
        else:
            ends.add("number")
    return ends


def _reads_ids(layer: Any) -> bool:
    return type(layer).__name__ in READERS or str(getattr(layer, "symbol", "")) in READING_OPS


def _carries(layer: Any) -> bool:
    kind = type(layer).__name__
    if kind in ("TFOpLambda", "SlicingOpLambda"):
        return str(layer.symbol).removeprefix("compat.v1.") in CARRIER_OPS
    if kind == "Activation":
        return getattr(layer.activation, "__name__", "") == "linear"
    return kind in CARRIERS
