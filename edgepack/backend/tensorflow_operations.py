"""TensorFlow functions and graph nodes between layers of Keras 2 models, by the names of `edgepack.gate.operations`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import tensorflow as tf

from edgepack import errors
from edgepack.backend.emit import Emitter, is_symbolic
from edgepack.gate.operations import NODES, TENSORFLOW

Builder = Callable[..., Any]


def _public(symbol: str) -> Callable[..., Any]:
    """A function of the allow-list (never a name from a file)."""
    return functools.reduce(getattr, symbol.split("."), tf)


FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    symbol: _public(symbol) for symbol in sorted(TENSORFLOW) if symbol != "__operators__.getitem"
}


def emit_function(emit: Emitter, symbol: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Applies an allow-listed public function with the arguments that the file recorded."""
    kwargs = {key: value for key, value in kwargs.items() if key != "name"}
    if symbol == "__operators__.getitem":
        tensor, key = [*args, *kwargs.values()]
        return emit.item(
            tensor, [_slice(item) for item in (key if isinstance(key, (list, tuple)) else [key])]
        )
    return emit.op(FUNCTIONS[symbol], *args, **kwargs)


def _slice(item: Any) -> Any:
    if isinstance(item, dict):
        if item.get("class_name") == "__ellipsis__":
            return Ellipsis
        inner = item.get("config", item)
        return slice(inner.get("start"), inner.get("stop"), inner.get("step"))
    return item


def emit_node(
    emit: Emitter, kind: str, inputs: Sequence[Any], attributes: dict[str, Any], constants: dict[str, Any]
) -> Any:
    """Applies one graph node: `inputs` are the tensors in order, `constants` go in at their positions."""
    values = list(inputs)
    for position in sorted(constants, key=int):
        values.insert(int(position), constants[position])
    if kind in _NODES:
        return _NODES[kind](emit, values, attributes)
    return emit.op(FUNCTIONS[NODES[kind]], *(values if kind in _STRUCTURAL else _typed(values)))


_STRUCTURAL: Final = ("ExpandDims", "Pad", "Reshape", "Tile", "Transpose")
"""Nodes whose constants are axes and sizes, not values."""


def _typed(values: list[Any]) -> list[Any]:
    """Constants were written as plain numbers: whole ones beside a float tensor are floats."""
    floating = any(is_symbolic(value) and tf.as_dtype(value.dtype).is_floating for value in values)
    return [
        float(value) if floating and isinstance(value, int) and not isinstance(value, bool) else value
        for value in values
    ]


def _attribute(attributes: dict[str, Any], name: str, default: Any) -> Any:
    """Value of an attribute in protobuf's JSON form, such as {"i": "1"} or {"list": {"i": ["1"]}}."""
    value = attributes.get(name)
    if not isinstance(value, dict) or not value:
        return default
    kind, content = next(iter(value.items()))
    if kind == "i":
        return int(content)
    if kind == "list":
        return [int(item) for item in content.get("i", [])]
    return content


def _reduce(function: Callable[..., Any]) -> Builder:
    def build(emit: Emitter, values: list[Any], attributes: dict[str, Any]) -> Any:
        axis = np.asarray(values[1], np.int64).tolist()
        return emit.op(
            function, values[0], axis=axis, keepdims=bool(_attribute(attributes, "keep_dims", False))
        )

    return build


def _concat(emit: Emitter, values: list[Any], attributes: dict[str, Any]) -> Any:
    return emit.op(tf.concat, values[:-1], axis=int(np.asarray(values[-1])))


def _pack(emit: Emitter, values: list[Any], attributes: dict[str, Any]) -> Any:
    return emit.op(tf.stack, values, axis=_attribute(attributes, "axis", 0))


def _cast(emit: Emitter, values: list[Any], attributes: dict[str, Any]) -> Any:
    name = str(_attribute(attributes, "DstT", "DT_FLOAT"))
    known = {"DT_FLOAT": tf.float32, "DT_HALF": tf.float32, "DT_DOUBLE": tf.float32, "DT_INT32": tf.int32,
             "DT_INT64": tf.int64, "DT_BOOL": tf.bool, "DT_UINT8": tf.uint8, "DT_INT8": tf.int8}  # fmt: skip
    if name not in known:
        raise errors.ModelError(
            f"a Cast node goes to {name}, which TFLite does not have; expected one of {sorted(known)}"
        )
    return emit.op(tf.cast, values[0], known[name])


def _matmul(first: str, second: str) -> Builder:
    def build(emit: Emitter, values: list[Any], attributes: dict[str, Any]) -> Any:
        return emit.op(
            tf.linalg.matmul,
            *values,
            transpose_a=bool(_attribute(attributes, first, False)),
            transpose_b=bool(_attribute(attributes, second, False)),
        )

    return build


def _squeeze(emit: Emitter, values: list[Any], attributes: dict[str, Any]) -> Any:
    return emit.op(tf.squeeze, values[0], axis=_attribute(attributes, "squeeze_dims", []) or None)


def _strided_slice(emit: Emitter, values: list[Any], attributes: dict[str, Any]) -> Any:
    masks = {name: _attribute(attributes, name, 0) for name in
             ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")}  # fmt: skip
    begin, end, strides = (np.asarray(value, np.int64).tolist() for value in values[1:4])
    return emit.op(tf.strided_slice, values[0], begin, end, strides, **masks)


_NODES: Final[dict[str, Builder]] = {
    "BatchMatMulV2": _matmul("adj_x", "adj_y"),
    "Cast": _cast,
    "ConcatV2": _concat,
    "MatMul": _matmul("transpose_a", "transpose_b"),
    "Max": _reduce(tf.math.reduce_max),
    "Mean": _reduce(tf.math.reduce_mean),
    "Min": _reduce(tf.math.reduce_min),
    "Pack": _pack,
    "Prod": _reduce(tf.math.reduce_prod),
    "Squeeze": _squeeze,
    "StridedSlice": _strided_slice,
    "Sum": _reduce(tf.math.reduce_sum),
}
