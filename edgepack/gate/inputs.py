"""What a model takes in: InputLayer entries of both Keras generations, checked and written one way."""

from __future__ import annotations

from typing import Any, Final

from edgepack import errors
from edgepack.gate.graph import INPUT_KIND, Layer
from edgepack.gate.template import Leaf

_FLOATS: Final = frozenset(("float16", "bfloat16", "float32", "float64", "half", "double"))
_OTHERS: Final = frozenset(("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"))
_AXIS_LIMIT: Final = 1 << 31


def input_layer(leaf: Leaf, name: str, where: str) -> Layer:
    """The InputLayer of the flat graph: a shape with a free batch axis; any float is float32.

    Raises:
      ModelError: no shape, or an input that is sparse, ragged, optional or text.
    """
    config = leaf.config
    for refused in ("sparse", "ragged", "optional"):
        if config.get(refused):
            raise errors.ModelError(
                f"{where}: input {name!r} is {refused}; TFLite takes dense inputs that are always given"
            )
    shape = config.get("batch_input_shape") or config.get("batch_shape")
    if shape is None and isinstance(config.get("input_shape"), (list, tuple)):
        shape = [None, *config["input_shape"]]
    if shape is None or not _is_shape(shape):
        raise errors.ModelError(
            f"{where}: input {name!r} has no shape ({shape!r:.60}): the model was never built. Build it "
            "with model.build((None, …)) or call it on data once, then save it again"
        )
    return Layer(
        name=name,
        kind=INPUT_KIND,
        config={"batch_input_shape": [None, *shape[1:]], "dtype": _dtype(config.get("dtype"), name, where)},
    )


def _dtype(value: Any, name: str, where: str) -> str:
    if isinstance(value, dict):  # a DTypePolicy
        inner = value.get("config")
        value = inner.get("name") if isinstance(inner, dict) else None
    if value is None or value in _FLOATS or (isinstance(value, str) and value.startswith("mixed_")):
        return "float32"
    if value in _OTHERS:
        return str(value)
    raise errors.ModelError(
        f"{where}: input {name!r} has type {value!r:.40}; TFLite models take numbers: turn text into "
        "numbers before the model"
    )


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, (list, tuple))
        and 1 <= len(shape) <= 8
        and all(axis is None or (type(axis) is int and 0 < axis < _AXIS_LIMIT) for axis in shape)
    )
