"""Keras 3 operations that move, cut and join: shapes change, values do not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import tensorflow as tf

from edgepack import errors
from edgepack.backend.emit import Emitter, is_symbolic
from edgepack.backend.promotion import alike, is_float, plain

Builder = Callable[..., Any]


def concatenate(emit: Emitter, values: Any, *, axis: int = 0) -> Any:
    return emit.op(tf.concat, alike(emit, *values), axis=axis)


def stack(emit: Emitter, values: Any, *, axis: int = 0) -> Any:
    return emit.op(tf.stack, alike(emit, *values), axis=axis)


def reshape(emit: Emitter, x: Any, *, newshape: Any) -> Any:
    shape = [newshape] if isinstance(newshape, int) else [-1 if size is None else size for size in newshape]
    return emit.op(tf.reshape, x, shape)


def ravel(emit: Emitter, x: Any) -> Any:
    return emit.op(tf.reshape, x, [-1])


def transpose(emit: Emitter, x: Any, *, axes: Any = None) -> Any:
    return emit.op(tf.transpose, x, perm=list(axes) if axes is not None else None)


def _order(emit: Emitter, x: Any, moves: dict[int, int]) -> Any:
    """Transposes so that axis `source` comes to stand at `destination`, the others in order."""
    rank = x.shape.rank
    moves = {source % rank: destination % rank for source, destination in moves.items()}
    order = [axis for axis in range(rank) if axis not in moves]
    for destination, source in sorted((destination, source) for source, destination in moves.items()):
        order.insert(destination, source)
    return emit.op(tf.transpose, x, perm=order)


def moveaxis(emit: Emitter, x: Any, *, source: Any, destination: Any) -> Any:
    sources = [source] if isinstance(source, int) else list(source)
    destinations = [destination] if isinstance(destination, int) else list(destination)
    return _order(emit, x, dict(zip(sources, destinations, strict=True)))


def swapaxes(emit: Emitter, x: Any, *, axis1: int, axis2: int) -> Any:
    return _order(emit, x, {axis1: axis2, axis2: axis1})


def expand_dims(emit: Emitter, x: Any, *, axis: Any) -> Any:
    axes = [axis] if isinstance(axis, int) else list(axis)
    rank = x.shape.rank + len(axes)
    for place in sorted(place % rank for place in axes):
        x = emit.op(tf.expand_dims, x, axis=place)
    return x


def squeeze(emit: Emitter, x: Any, *, axis: Any = None) -> Any:
    axes = None if axis is None else ([axis] if isinstance(axis, int) else list(axis))
    return emit.op(tf.squeeze, x, axis=axes)


def get_item(emit: Emitter, x: Any, key: Any) -> Any:
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


def pad(emit: Emitter, x: Any, constant_values: Any = None, *, pad_width: Any, mode: str = "constant") -> Any:
    rank = x.shape.rank
    width = np.broadcast_to(np.asarray(pad_width), (rank, 2)).tolist()
    return emit.op(tf.pad, x, width, mode=mode.upper(), constant_values=constant_values or 0)


def repeat(emit: Emitter, x: Any, *, repeats: Any, axis: Any = None) -> Any:
    return emit.op(tf.repeat, x, repeats, axis=axis)


def tile(emit: Emitter, x: Any, *, repeats: Any) -> Any:
    rank = x.shape.rank
    times = [repeats] if isinstance(repeats, int) else list(repeats)
    times = [1] * (rank - len(times)) + times
    if len(times) > rank:
        x = emit.op(
            tf.reshape, x, [1] * (len(times) - rank) + [-1 if size is None else size for size in x.shape]
        )
    return emit.op(tf.tile, x, times)


def split(emit: Emitter, x: Any, *, indices_or_sections: Any, axis: int = 0) -> Any:
    if isinstance(indices_or_sections, int):
        return emit.op(tf.split, x, num_or_size_splits=indices_or_sections, axis=axis)
    edges = [0, *indices_or_sections, x.shape[axis]]
    sizes = [int(end) - int(start) for start, end in pairwise(edges)]
    return emit.op(tf.split, x, num_or_size_splits=sizes, axis=axis)


def unstack(emit: Emitter, x: Any, *, num: Any = None, axis: int = 0) -> Any:
    return emit.op(tf.unstack, x, num=num, axis=axis)


def slice_at(emit: Emitter, x: Any, start_indices: Any, *, shape: Any) -> Any:
    starts = [int(start) for start in np.asarray(start_indices).ravel()]
    sizes = [-1 if size is None else int(size) for size in shape]
    sizes = [
        size if size == -1 or place or x.shape[0] is not None else -1 for place, size in enumerate(sizes)
    ]
    return emit.op(tf.slice, x, starts, sizes)


def take(emit: Emitter, x: Any, indices: Any, *, axis: Any = None) -> Any:
    if axis is None:
        x, axis = emit.op(tf.reshape, x, [-1]), 0
    if is_symbolic(indices) and is_float(indices):
        indices = emit.op(tf.cast, indices, tf.int32)
    if not is_symbolic(indices):
        size = x.shape[axis] if hasattr(x, "shape") else np.asarray(x).shape[axis]
        indices = np.asarray(indices)
        indices = plain(np.where(indices < 0, indices + (size or 0), indices).astype(np.int32))
    return emit.op(tf.gather, x, indices, axis=axis)


def flip(emit: Emitter, x: Any, *, axis: Any = None) -> Any:
    axes = list(range(x.shape.rank)) if axis is None else ([axis] if isinstance(axis, int) else list(axis))
    return emit.op(tf.reverse, x, axes)


def roll(emit: Emitter, x: Any, *, shift: Any, axis: Any = None) -> Any:
    if axis is None:
        raise errors.ModelError("keras.ops.roll without an axis rolls across samples; give it an axis")
    return emit.op(tf.roll, x, shift, axis)


def broadcast_to(emit: Emitter, x: Any, *, shape: Any) -> Any:
    return emit.op(tf.broadcast_to, x, list(shape))


def join(axis: int) -> Builder:
    def build(emit: Emitter, values: Any) -> Any:
        return emit.op(tf.concat, alike(emit, *values), axis=axis)

    return build
