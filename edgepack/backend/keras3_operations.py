"""Keras 3 operations (``keras.ops``, operators on tensors) as TensorFlow functions: one builder a name.

The names are those of `edgepack.gate.operations.KERAS3`. A builder gets the `Emitter`, the operation's settings by keyword
and the call's arguments by position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import tensorflow as tf

from edgepack import errors
from edgepack.backend import keras3_shapes
from edgepack.backend.activations import emit_activation
from edgepack.backend.einsum import emit_einsum
from edgepack.backend.emit import Emitter, is_symbolic
from edgepack.backend.promotion import alike, as_float, dtype_of, is_float

Builder = Callable[..., Any]


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, (list, tuple)) else axis


def _unary(function: Callable[..., Any], *, floating: bool = False) -> Builder:
    def build(emit: Emitter, x: Any) -> Any:
        return emit.op(function, as_float(emit, x) if floating else x)

    return build


def _binary(function: Callable[..., Any], *, floating: bool = False) -> Builder:
    def build(emit: Emitter, x1: Any, x2: Any) -> Any:
        if floating:
            x1, x2 = as_float(emit, x1), as_float(emit, x2)
        return emit.op(function, *alike(emit, x1, x2))

    return build


def _logical(function: Callable[..., Any]) -> Builder:
    def build(emit: Emitter, *values: Any) -> Any:
        return emit.op(function, *[value if dtype_of(value) == tf.bool else emit.op(tf.cast, value, tf.bool)
                                   for value in values])  # fmt: skip

    return build


def _reduction(function: Callable[..., Any], *, floating: bool = False, logical: bool = False) -> Builder:
    def build(emit: Emitter, x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
        if logical and dtype_of(x) != tf.bool:
            x = emit.op(tf.cast, x, tf.bool)
        x = as_float(emit, x) if floating else x
        return emit.op(function, x, axis=_axes(axis), keepdims=bool(keepdims))

    return build


def _filled(function: Callable[..., Any]) -> Builder:
    def build(emit: Emitter, x: Any, *, dtype: Any = None) -> Any:
        return emit.op(function, x, dtype=None if dtype is None else tf.as_dtype(dtype))

    return build


def _arg(function: Callable[..., Any]) -> Builder:
    def build(emit: Emitter, x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
        rank = x.shape.rank
        if axis is None:
            x, axis = emit.op(tf.reshape, x, [-1]), 0
        found = emit.op(function, x, axis=axis, output_type=tf.int32)
        if keepdims:
            found = emit.op(tf.expand_dims, found, axis=axis if axis >= 0 else axis + rank)
        return found

    return build


def _activation(name: str, *keys: str) -> Builder:
    def build(emit: Emitter, x: Any, **settings: Any) -> Any:
        kept = {key: settings[key] for key in keys if settings.get(key) is not None}
        x = as_float(emit, x)
        return emit_activation(emit, {"name": name, **kept} if kept else name, x)

    return build


def _gelu(emit: Emitter, x: Any, *, approximate: bool = True) -> Any:
    return emit.op(tf.nn.gelu, as_float(emit, x), approximate=bool(approximate))


def _where(emit: Emitter, condition: Any, x1: Any = None, x2: Any = None) -> Any:
    if x1 is None or x2 is None:
        raise errors.ModelError(
            "keras.ops.where with one argument gives outputs of unknown size; use it with three"
        )
    if is_symbolic(condition) and dtype_of(condition) != tf.bool:
        condition = emit.op(tf.cast, condition, tf.bool)
    return emit.op(tf.where, condition, *alike(emit, x1, x2))


def _clip(emit: Emitter, x: Any, *, x_min: Any, x_max: Any) -> Any:
    low, high = (
        value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
        for value in (x_min, x_max)
    )
    if is_float(x):
        low, high = np.asarray(low, np.float32).tolist(), np.asarray(high, np.float32).tolist()
    return emit.op(tf.clip_by_value, x, low, high)


def _cast(emit: Emitter, x: Any, *, dtype: Any) -> Any:
    name = dtype if isinstance(dtype, str) else "float32"
    return emit.op(
        tf.cast,
        x,
        tf.as_dtype({"float16": "float32", "bfloat16": "float32", "float64": "float32"}.get(name, name)),
    )


def _matmul(emit: Emitter, x1: Any, x2: Any) -> Any:
    x1, x2 = alike(emit, x1, x2)
    ranks = [len(value.shape) if hasattr(value, "shape") else np.ndim(value) for value in (x1, x2)]
    if min(ranks) >= 2:
        return emit.op(tf.linalg.matmul, x1, x2)
    return emit.op(tf.tensordot, x1, x2, axes=1)


def _einsum(emit: Emitter, *operands: Any, subscripts: str) -> Any:
    given = [
        value if is_symbolic(value) else np.asarray(value, np.float32) for value in alike(emit, *operands)
    ]
    return emit_einsum(emit, subscripts, given)


def _one_hot(emit: Emitter, x: Any, *, num_classes: int, axis: int = -1, dtype: Any = None) -> Any:
    x = x if not is_float(x) else emit.op(tf.cast, x, tf.int32)
    target = tf.float32 if dtype in (None, "float16", "float64") else tf.as_dtype(dtype)
    return emit.op(tf.one_hot, x, num_classes, axis=axis, dtype=target)


def _resize(
    emit: Emitter, x: Any, *, size: Any, interpolation: str = "bilinear", antialias: bool = False
) -> Any:
    resized = emit.op(tf.image.resize, x, list(size), method=interpolation, antialias=bool(antialias))
    return resized if is_float(x) or interpolation == "nearest" else emit.op(tf.cast, resized, dtype_of(x))


def _norm(emit: Emitter, x: Any, *, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    order = "euclidean" if ord is None else ord
    return emit.op(tf.norm, as_float(emit, x), ord=order, axis=_axes(axis), keepdims=bool(keepdims))


def _normalize(emit: Emitter, x: Any, *, axis: Any = -1, order: Any = 2, epsilon: Any = None) -> Any:
    """Keras 3: x · rsqrt(max(Σx², ε²)) for order 2."""
    if order != 2:
        raise errors.ModelError(f"keras.ops.normalize with order={order!r}; only order 2 is rebuilt")
    floor = 1e-12 if epsilon is None else max(float(epsilon) ** 2, 1e-38)
    return emit.op(tf.math.l2_normalize, as_float(emit, x), axis=_axes(axis), epsilon=floor)


def _cumsum(emit: Emitter, x: Any, *, axis: Any = None) -> Any:
    if axis is None:
        x, axis = emit.op(tf.reshape, x, [-1]), 0
    return emit.op(tf.math.cumsum, x, axis=axis)


def _pool(function: Callable[..., Any]) -> Builder:
    def build(emit: Emitter, x: Any, *, pool_size: Any, strides: Any = None, padding: str = "valid") -> Any:
        if x.shape.rank != 4:
            raise errors.ModelError("keras.ops pooling is rebuilt for images only; use a pooling layer")
        return emit.op(function, x, pool_size, strides if strides is not None else pool_size, padding.upper())

    return build


def _top_k(emit: Emitter, x: Any, *, k: int, sorted: bool = True) -> Any:
    return list(emit.op(tf.math.top_k, x, k=k, sorted=bool(sorted)))


def _space(function: Callable[..., Any]) -> Builder:
    def build(emit: Emitter, x: Any, *, block_size: int) -> Any:
        return emit.op(function, x, block_size)

    return build


def _log(base: float) -> Builder:
    def build(emit: Emitter, x: Any) -> Any:
        return emit.op(tf.math.multiply, emit.op(tf.math.log, as_float(emit, x)), float(1.0 / np.log(base)))

    return build


def _same(emit: Emitter, x: Any) -> Any:
    return emit.op(tf.identity, x)


BUILDERS: Final[dict[str, Builder]] = {
    "Absolute": _unary(tf.math.abs),
    "Abs": _unary(tf.math.abs),
    "Add": _binary(tf.math.add),
    "All": _reduction(tf.math.reduce_all, logical=True),
    "Any": _reduction(tf.math.reduce_any, logical=True),
    "Amax": _reduction(tf.math.reduce_max),
    "Amin": _reduction(tf.math.reduce_min),
    "Arccos": _unary(tf.math.acos, floating=True),
    "Arccosh": _unary(tf.math.acosh, floating=True),
    "Arcsin": _unary(tf.math.asin, floating=True),
    "Arcsinh": _unary(tf.math.asinh, floating=True),
    "Arctan": _unary(tf.math.atan, floating=True),
    "Arctan2": _binary(tf.math.atan2, floating=True),
    "Arctanh": _unary(tf.math.atanh, floating=True),
    "Argmax": _arg(tf.math.argmax),
    "Argmin": _arg(tf.math.argmin),
    "AveragePool": _pool(tf.nn.avg_pool2d),
    "BroadcastTo": keras3_shapes.broadcast_to,
    "Cast": _cast,
    "Ceil": _unary(tf.math.ceil, floating=True),
    "Celu": _activation("celu", "alpha"),
    "Clip": _clip,
    "Concatenate": keras3_shapes.concatenate,
    "ConvertToTensor": lambda emit, x, dtype=None: _cast(emit, x, dtype=dtype) if dtype else _same(emit, x),
    "Copy": _same,
    "Cos": _unary(tf.math.cos, floating=True),
    "Cosh": _unary(tf.math.cosh, floating=True),
    "Cumsum": _cumsum,
    "DepthToSpace": _space(tf.nn.depth_to_space),
    "Divide": _binary(tf.math.divide, floating=True),
    "DivideNoNan": _binary(tf.math.divide_no_nan, floating=True),
    "Dot": _matmul,
    "Einsum": _einsum,
    "Elu": _activation("elu", "alpha"),
    "Equal": _binary(tf.math.equal),
    "Erf": _unary(tf.math.erf, floating=True),
    "Exp": _unary(tf.math.exp, floating=True),
    "ExpandDims": keras3_shapes.expand_dims,
    "Expm1": _unary(tf.math.expm1, floating=True),
    "Flip": keras3_shapes.flip,
    "Floor": _unary(tf.math.floor, floating=True),
    "FloorDivide": _binary(tf.math.floordiv),
    "Gelu": _gelu,
    "GetItem": keras3_shapes.get_item,
    "Glu": _activation("glu", "axis"),
    "Greater": _binary(tf.math.greater),
    "GreaterEqual": _binary(tf.math.greater_equal),
    "HardShrink": _activation("hard_shrink", "threshold"),
    "HardSigmoid": _activation("hard_sigmoid_6"),
    "HardSilu": _activation("hard_silu"),
    "HardTanh": _activation("hard_tanh"),
    "Hstack": keras3_shapes.join(1),
    "LeakyRelu": _activation("leaky_relu", "negative_slope"),
    "Less": _binary(tf.math.less),
    "LessEqual": _binary(tf.math.less_equal),
    "Log": _unary(tf.math.log, floating=True),
    "Log10": _log(10.0),
    "Log1p": _unary(tf.math.log1p, floating=True),
    "Log2": _log(2.0),
    "LogSigmoid": _activation("log_sigmoid"),
    "LogSoftmax": _activation("log_softmax", "axis"),
    "LogicalAnd": _logical(tf.math.logical_and),
    "LogicalNot": _logical(tf.math.logical_not),
    "LogicalOr": _logical(tf.math.logical_or),
    "LogicalXor": _logical(tf.math.logical_xor),
    "Logsumexp": _reduction(tf.math.reduce_logsumexp, floating=True),
    "Matmul": _matmul,
    "Max": _reduction(tf.math.reduce_max),
    "MaxPool": _pool(tf.nn.max_pool2d),
    "Maximum": _binary(tf.math.maximum),
    "Mean": _reduction(tf.math.reduce_mean, floating=True),
    "Min": _reduction(tf.math.reduce_min),
    "Minimum": _binary(tf.math.minimum),
    "Mod": _binary(tf.math.floormod),
    "Moveaxis": keras3_shapes.moveaxis,
    "Multiply": _binary(tf.math.multiply),
    "Negative": _unary(tf.math.negative),
    "Norm": _norm,
    "Normalize": _normalize,
    "NotEqual": _binary(tf.math.not_equal),
    "OneHot": _one_hot,
    "OnesLike": _filled(tf.ones_like),
    "Pad": keras3_shapes.pad,
    "Power": _binary(tf.math.pow),
    "Prod": _reduction(tf.math.reduce_prod),
    "Ravel": keras3_shapes.ravel,
    "Reciprocal": _unary(tf.math.reciprocal, floating=True),
    "Relu": _activation("relu"),
    "Relu6": _activation("relu6"),
    "Repeat": keras3_shapes.repeat,
    "Reshape": keras3_shapes.reshape,
    "Resize": _resize,
    "Roll": keras3_shapes.roll,
    "Rsqrt": _unary(tf.math.rsqrt, floating=True),
    "Selu": _activation("selu"),
    "Sigmoid": _activation("sigmoid"),
    "Sign": _unary(tf.math.sign),
    "Silu": _activation("silu"),
    "Sin": _unary(tf.math.sin, floating=True),
    "Sinh": _unary(tf.math.sinh, floating=True),
    "Slice": keras3_shapes.slice_at,
    "SoftShrink": _activation("soft_shrink", "threshold"),
    "Softmax": _activation("softmax", "axis"),
    "Softplus": _activation("softplus"),
    "Softsign": _activation("softsign"),
    "SpaceToDepth": _space(tf.nn.space_to_depth),
    "SparsePlus": _activation("sparse_plus"),
    "SparseSigmoid": _activation("sparse_sigmoid"),
    "Split": keras3_shapes.split,
    "Sqrt": _unary(tf.math.sqrt, floating=True),
    "Square": _unary(tf.math.square),
    "Squareplus": _activation("squareplus", "b"),
    "Squeeze": keras3_shapes.squeeze,
    "Stack": keras3_shapes.stack,
    "Std": _reduction(tf.math.reduce_std, floating=True),
    "StopGradient": _unary(tf.stop_gradient),
    "Subtract": _binary(tf.math.subtract),
    "Sum": _reduction(tf.math.reduce_sum),
    "Swapaxes": keras3_shapes.swapaxes,
    "Take": keras3_shapes.take,
    "Tan": _unary(tf.math.tan, floating=True),
    "Tanh": _activation("tanh"),
    "TanhShrink": _activation("tanh_shrink"),
    "Threshold": _activation("threshold", "threshold", "default_value"),
    "Tile": keras3_shapes.tile,
    "TopK": _top_k,
    "Transpose": keras3_shapes.transpose,
    "TrueDivide": _binary(tf.math.divide, floating=True),
    "Unstack": keras3_shapes.unstack,
    "Var": _reduction(tf.math.reduce_variance, floating=True),
    "Vstack": keras3_shapes.join(0),
    "Where": _where,
    "ZerosLike": _filled(tf.zeros_like),
}
