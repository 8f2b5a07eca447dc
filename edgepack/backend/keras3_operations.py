"""Keras 3 operations (``keras.ops``, operators on tensors) as TensorFlow functions: one builder a name.

The names are those of `edgepack.gate.operations.KERAS3`. A builder gets the `Emitter`, the operation's settings by keyword
and the call's arguments by position.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import numpy as np
import tensorflow as tf

from edgepack import errors
from edgepack.backend.activations import emit_activation
from edgepack.backend.einsum import emit_einsum
from edgepack.backend.emit import Emitter, is_symbolic

Builder = Callable[..., Any]


def _dtype(value: Any) -> tf.DType:
    return tf.as_dtype(value.dtype) if hasattr(value, "dtype") else tf.as_dtype(np.asarray(value).dtype)


def _is_float(value: Any) -> bool:
    return _dtype(value).is_floating


def _as_float(emit: Emitter, x: Any) -> Any:
    """Keras 3 computes means, roots and quotients of integers in floats; TensorFlow refuses them."""
    return x if _is_float(x) else emit.op(tf.cast, x, tf.float32)


def _alike(emit: Emitter, *values: Any) -> list[Any]:
    """Brings operands to one dtype, as Keras 3's promotion does (floats win, constants follow)."""
    tensors = [value for value in values if is_symbolic(value)]
    floating = any(_is_float(value) for value in values)
    if floating:
        target = next((_dtype(value) for value in tensors if _is_float(value)), tf.float32)
    else:
        sizes = [_dtype(value) for value in tensors]
        whole = [dtype for dtype in sizes if dtype != tf.bool] or [tf.int32 if not sizes else sizes[0]]
        target = max(whole, key=lambda dtype: dtype.size)
        if target == tf.bool and any(_dtype(value) != tf.bool for value in values):
            target = tf.int32
    alike = []
    for value in values:
        if is_symbolic(value):
            alike.append(value if _dtype(value) == target else emit.op(tf.cast, value, target))
        else:
            alike.append(_plain(np.asarray(value, target.as_numpy_dtype)))
    return alike


def _plain(array: Any) -> Any:
    return array.item() if array.ndim == 0 else array


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, (list, tuple)) else axis


def _unary(function: Callable[..., Any], *, floating: bool = False) -> Builder:
    def build(emit: Emitter, x: Any) -> Any:
        return emit.op(function, _as_float(emit, x) if floating else x)

    return build


def _binary(function: Callable[..., Any], *, floating: bool = False) -> Builder:
    def build(emit: Emitter, x1: Any, x2: Any) -> Any:
        if floating:
            x1, x2 = _as_float(emit, x1), _as_float(emit, x2)
        return emit.op(function, *_alike(emit, x1, x2))

    return build


def _logical(function: Callable[..., Any]) -> Builder:
    def build(emit: Emitter, *values: Any) -> Any:
        return emit.op(function, *[value if _dtype(value) == tf.bool else emit.op(tf.cast, value, tf.bool)
                                   for value in values])  # fmt: skip

    return build


def _reduction(function: Callable[..., Any], *, floating: bool = False) -> Builder:
    def build(emit: Emitter, x: Any, *, axis: Any = None, keepdims: bool = False) -> Any:
        x = _as_float(emit, x) if floating else x
        return emit.op(function, x, axis=_axes(axis), keepdims=bool(keepdims))

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
        x = _as_float(emit, x)
        return emit_activation(emit, {"name": name, **kept} if kept else name, x)

    return build


def _gelu(emit: Emitter, x: Any, *, approximate: bool = True) -> Any:
    return emit.op(tf.nn.gelu, _as_float(emit, x), approximate=bool(approximate))


def _where(emit: Emitter, condition: Any, x1: Any = None, x2: Any = None) -> Any:
    if x1 is None or x2 is None:
        raise errors.ModelError(
            "keras.ops.where with one argument gives outputs of unknown size; use it with three"
        )
    if is_symbolic(condition) and _dtype(condition) != tf.bool:
        condition = emit.op(tf.cast, condition, tf.bool)
    return emit.op(tf.where, condition, *_alike(emit, x1, x2))


def _clip(emit: Emitter, x: Any, *, x_min: Any, x_max: Any) -> Any:
    low, high = (
        value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
        for value in (x_min, x_max)
    )
    if _is_float(x):
        low, high = np.asarray(low, np.float32).tolist(), np.asarray(high, np.float32).tolist()
    return emit.op(tf.clip_by_value, x, low, high)


def _cast(emit: Emitter, x: Any, *, dtype: Any) -> Any:
    name = dtype if isinstance(dtype, str) else "float32"
    return emit.op(
        tf.cast,
        x,
        tf.as_dtype({"float16": "float32", "bfloat16": "float32", "float64": "float32"}.get(name, name)),
    )


def _concatenate(emit: Emitter, values: Any, *, axis: int = 0) -> Any:
    return emit.op(tf.concat, _alike(emit, *values), axis=axis)


def _stack(emit: Emitter, values: Any, *, axis: int = 0) -> Any:
    return emit.op(tf.stack, _alike(emit, *values), axis=axis)


def _reshape(emit: Emitter, x: Any, *, newshape: Any) -> Any:
    shape = [newshape] if isinstance(newshape, int) else [-1 if size is None else size for size in newshape]
    return emit.op(tf.reshape, x, shape)


def _ravel(emit: Emitter, x: Any) -> Any:
    return emit.op(tf.reshape, x, [-1])


def _transpose(emit: Emitter, x: Any, *, axes: Any = None) -> Any:
    return emit.op(tf.transpose, x, perm=list(axes) if axes is not None else None)


def _order(emit: Emitter, x: Any, moves: dict[int, int]) -> Any:
    """Transposes so that axis `source` comes to stand at `destination`, the others in order."""
    rank = x.shape.rank
    moves = {source % rank: destination % rank for source, destination in moves.items()}
    order = [axis for axis in range(rank) if axis not in moves]
    for destination, source in sorted((destination, source) for source, destination in moves.items()):
        order.insert(destination, source)
    return emit.op(tf.transpose, x, perm=order)


def _moveaxis(emit: Emitter, x: Any, *, source: Any, destination: Any) -> Any:
    sources = [source] if isinstance(source, int) else list(source)
    destinations = [destination] if isinstance(destination, int) else list(destination)
    return _order(emit, x, dict(zip(sources, destinations, strict=True)))


def _swapaxes(emit: Emitter, x: Any, *, axis1: int, axis2: int) -> Any:
    return _order(emit, x, {axis1: axis2, axis2: axis1})


def _expand_dims(emit: Emitter, x: Any, *, axis: Any) -> Any:
    axes = [axis] if isinstance(axis, int) else list(axis)
    rank = x.shape.rank + len(axes)
    for place in sorted(place % rank for place in axes):
        x = emit.op(tf.expand_dims, x, axis=place)
    return x


def _squeeze(emit: Emitter, x: Any, *, axis: Any = None) -> Any:
    axes = None if axis is None else ([axis] if isinstance(axis, int) else list(axis))
    return emit.op(tf.squeeze, x, axis=axes)


def _get_item(emit: Emitter, x: Any, key: Any) -> Any:
    items = key if isinstance(key, (list, tuple)) else [key]
    return emit.item(x, [_key(item) for item in items])


def _key(item: Any) -> Any:
    if isinstance(item, dict):
        if item.get("class_name") == "__ellipsis__":
            return Ellipsis
        inner = item.get("config", item)
        return slice(inner.get("start"), inner.get("stop"), inner.get("step"))
    if isinstance(item, np.ndarray) and item.ndim == 0:
        return item.item()
    return item


def _matmul(emit: Emitter, x1: Any, x2: Any) -> Any:
    x1, x2 = _alike(emit, x1, x2)
    ranks = [len(value.shape) if hasattr(value, "shape") else np.ndim(value) for value in (x1, x2)]
    if min(ranks) >= 2:
        return emit.op(tf.linalg.matmul, x1, x2)
    return emit.op(tf.tensordot, x1, x2, axes=1)


def _einsum(emit: Emitter, *operands: Any, subscripts: str) -> Any:
    alike = [
        value if is_symbolic(value) else np.asarray(value, np.float32) for value in _alike(emit, *operands)
    ]
    return emit_einsum(emit, subscripts, alike)


def _pad(
    emit: Emitter, x: Any, constant_values: Any = None, *, pad_width: Any, mode: str = "constant"
) -> Any:
    rank = x.shape.rank
    width = np.broadcast_to(np.asarray(pad_width), (rank, 2)).tolist()
    return emit.op(tf.pad, x, width, mode=mode.upper(), constant_values=constant_values or 0)


def _repeat(emit: Emitter, x: Any, *, repeats: Any, axis: Any = None) -> Any:
    return emit.op(tf.repeat, x, repeats, axis=axis)


def _tile(emit: Emitter, x: Any, *, repeats: Any) -> Any:
    rank = x.shape.rank
    times = [repeats] if isinstance(repeats, int) else list(repeats)
    times = [1] * (rank - len(times)) + times
    if len(times) > rank:
        x = emit.op(
            tf.reshape, x, [1] * (len(times) - rank) + [-1 if size is None else size for size in x.shape]
        )
    return emit.op(tf.tile, x, times)


def _split(emit: Emitter, x: Any, *, indices_or_sections: Any, axis: int = 0) -> Any:
    if isinstance(indices_or_sections, int):
        return emit.op(tf.split, x, num_or_size_splits=indices_or_sections, axis=axis)
    edges = [0, *indices_or_sections, x.shape[axis]]
    sizes = [int(end) - int(start) for start, end in pairwise(edges)]
    return emit.op(tf.split, x, num_or_size_splits=sizes, axis=axis)


def _unstack(emit: Emitter, x: Any, *, num: Any = None, axis: int = 0) -> Any:
    return emit.op(tf.unstack, x, num=num, axis=axis)


def _slice(emit: Emitter, x: Any, start_indices: Any, *, shape: Any) -> Any:
    starts = [int(start) for start in np.asarray(start_indices).ravel()]
    sizes = [-1 if size is None else int(size) for size in shape]
    sizes = [
        size if size == -1 or place or x.shape[0] is not None else -1 for place, size in enumerate(sizes)
    ]
    return emit.op(tf.slice, x, starts, sizes)


def _take(emit: Emitter, x: Any, indices: Any, *, axis: Any = None) -> Any:
    if axis is None:
        x, axis = emit.op(tf.reshape, x, [-1]), 0
    if is_symbolic(indices) and _is_float(indices):
        indices = emit.op(tf.cast, indices, tf.int32)
    if not is_symbolic(indices):
        size = x.shape[axis] if hasattr(x, "shape") else np.asarray(x).shape[axis]
        indices = np.asarray(indices)
        indices = _plain(np.where(indices < 0, indices + (size or 0), indices).astype(np.int32))
    return emit.op(tf.gather, x, indices, axis=axis)


def _one_hot(emit: Emitter, x: Any, *, num_classes: int, axis: int = -1, dtype: Any = None) -> Any:
    x = x if not _is_float(x) else emit.op(tf.cast, x, tf.int32)
    target = tf.float32 if dtype in (None, "float16", "float64") else tf.as_dtype(dtype)
    return emit.op(tf.one_hot, x, num_classes, axis=axis, dtype=target)


def _resize(
    emit: Emitter, x: Any, *, size: Any, interpolation: str = "bilinear", antialias: bool = False
) -> Any:
    resized = emit.op(tf.image.resize, x, list(size), method=interpolation, antialias=bool(antialias))
    return resized if _is_float(x) or interpolation == "nearest" else emit.op(tf.cast, resized, _dtype(x))


def _norm(emit: Emitter, x: Any, *, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    order = "euclidean" if ord is None else ord
    return emit.op(tf.norm, _as_float(emit, x), ord=order, axis=_axes(axis), keepdims=bool(keepdims))


def _normalize(emit: Emitter, x: Any, *, axis: Any = -1, order: Any = 2, epsilon: Any = None) -> Any:
    """Keras 3: x · rsqrt(max(Σx², ε²)) for order 2."""
    if order != 2:
        raise errors.ModelError(f"keras.ops.normalize with order={order!r}; only order 2 is rebuilt")
    floor = 1e-12 if epsilon is None else max(float(epsilon) ** 2, 1e-38)
    return emit.op(tf.math.l2_normalize, _as_float(emit, x), axis=_axes(axis), epsilon=floor)


def _flip(emit: Emitter, x: Any, *, axis: Any = None) -> Any:
    axes = list(range(x.shape.rank)) if axis is None else ([axis] if isinstance(axis, int) else list(axis))
    return emit.op(tf.reverse, x, axes)


def _roll(emit: Emitter, x: Any, *, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        raise errors.ModelError("keras.ops.roll without an axis rolls across samples; give it an axis")
    return emit.op(tf.roll, x, shift, axis)


def _cumsum(emit: Emitter, x: Any, *, axis: Any = None) -> Any:
    if axis is None:
        x, axis = emit.op(tf.reshape, x, [-1]), 0
    return emit.op(tf.math.cumsum, x, axis=axis)


def _broadcast_to(emit: Emitter, x: Any, *, shape: Any) -> Any:
    return emit.op(tf.broadcast_to, x, list(shape))


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
        return emit.op(tf.math.multiply, emit.op(tf.math.log, _as_float(emit, x)), float(1.0 / np.log(base)))

    return build


def _same(emit: Emitter, x: Any) -> Any:
    return emit.op(tf.identity, x)


def _join(axis: int) -> Builder:
    def build(emit: Emitter, values: Any) -> Any:
        return emit.op(tf.concat, _alike(emit, *values), axis=axis)

    return build


BUILDERS: Final[dict[str, Builder]] = {
    "Absolute": _unary(tf.math.abs),
    "Abs": _unary(tf.math.abs),
    "Add": _binary(tf.math.add),
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
    "BroadcastTo": _broadcast_to,
    "Cast": _cast,
    "Ceil": _unary(tf.math.ceil, floating=True),
    "Celu": _activation("celu", "alpha"),
    "Clip": _clip,
    "Concatenate": _concatenate,
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
    "ExpandDims": _expand_dims,
    "Expm1": _unary(tf.math.expm1, floating=True),
    "Flip": _flip,
    "Floor": _unary(tf.math.floor, floating=True),
    "FloorDivide": _binary(tf.math.floordiv),
    "Gelu": _gelu,
    "GetItem": _get_item,
    "Glu": _activation("glu", "axis"),
    "Greater": _binary(tf.math.greater),
    "GreaterEqual": _binary(tf.math.greater_equal),
    "HardShrink": _activation("hard_shrink", "threshold"),
    "HardSigmoid": _activation("hard_sigmoid_6"),
    "HardSilu": _activation("hard_silu"),
    "HardTanh": _activation("hard_tanh"),
    "Hstack": _join(1),
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
    "Moveaxis": _moveaxis,
    "Multiply": _binary(tf.math.multiply),
    "Negative": _unary(tf.math.negative),
    "Norm": _norm,
    "Normalize": _normalize,
    "NotEqual": _binary(tf.math.not_equal),
    "OneHot": _one_hot,
    "OnesLike": _unary(tf.ones_like),
    "Pad": _pad,
    "Power": _binary(tf.math.pow),
    "Prod": _reduction(tf.math.reduce_prod),
    "Ravel": _ravel,
    "Reciprocal": _unary(tf.math.reciprocal, floating=True),
    "Relu": _activation("relu"),
    "Relu6": _activation("relu6"),
    "Repeat": _repeat,
    "Reshape": _reshape,
    "Resize": _resize,
    "Roll": _roll,
    "Rsqrt": _unary(tf.math.rsqrt, floating=True),
    "Selu": _activation("selu"),
    "Sigmoid": _activation("sigmoid"),
    "Sign": _unary(tf.math.sign),
    "Silu": _activation("silu"),
    "Sin": _unary(tf.math.sin, floating=True),
    "Sinh": _unary(tf.math.sinh, floating=True),
    "Slice": _slice,
    "SoftShrink": _activation("soft_shrink", "threshold"),
    "Softmax": _activation("softmax", "axis"),
    "Softplus": _activation("softplus"),
    "Softsign": _activation("softsign"),
    "SpaceToDepth": _space(tf.nn.space_to_depth),
    "SparsePlus": _activation("sparse_plus"),
    "SparseSigmoid": _activation("sparse_sigmoid"),
    "Split": _split,
    "Sqrt": _unary(tf.math.sqrt, floating=True),
    "Square": _unary(tf.math.square),
    "Squareplus": _activation("squareplus", "b"),
    "Squeeze": _squeeze,
    "Stack": _stack,
    "Std": _reduction(tf.math.reduce_std, floating=True),
    "StopGradient": _unary(tf.stop_gradient),
    "Subtract": _binary(tf.math.subtract),
    "Sum": _reduction(tf.math.reduce_sum),
    "Swapaxes": _swapaxes,
    "Take": _take,
    "Tan": _unary(tf.math.tan, floating=True),
    "Tanh": _activation("tanh"),
    "TanhShrink": _activation("tanh_shrink"),
    "Threshold": _activation("threshold", "threshold", "default_value"),
    "Tile": _tile,
    "TopK": _top_k,
    "Transpose": _transpose,
    "TrueDivide": _binary(tf.math.divide, floating=True),
    "Unstack": _unstack,
    "Var": _reduction(tf.math.reduce_variance, floating=True),
    "Vstack": _join(0),
    "Where": _where,
    "ZerosLike": _unary(tf.zeros_like),
}
