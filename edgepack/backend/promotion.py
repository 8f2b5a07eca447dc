"""Operands of Keras 3 operations brought to one dtype, as Keras 3 itself promotes them and TensorFlow does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from edgepack.backend.emit import Emitter, is_symbolic


def dtype_of(value: Any) -> tf.DType:
    """Of a tensor, array or plain number."""
    return tf.as_dtype(value.dtype) if hasattr(value, "dtype") else tf.as_dtype(np.asarray(value).dtype)


def is_float(value: Any) -> bool:
    """Whether a tensor, array or number is of a floating dtype."""
    return dtype_of(value).is_floating


def as_float(emit: Emitter, x: Any) -> Any:
    """Keras 3 computes means, roots and quotients of integers in floats; TensorFlow refuses them."""
    return x if is_float(x) else emit.op(tf.cast, x, tf.float32)


def alike(emit: Emitter, *values: Any) -> list[Any]:
    """Brings operands to one dtype, as Keras 3's promotion does (floats win, constants follow)."""
    tensors = [value for value in values if is_symbolic(value)]
    floating = any(is_float(value) for value in values)
    if floating:
        target = next((dtype_of(value) for value in tensors if is_float(value)), tf.float32)
    else:
        sizes = [dtype_of(value) for value in tensors]
        whole = [dtype for dtype in sizes if dtype != tf.bool] or [tf.int32 if not sizes else sizes[0]]
        target = max(whole, key=lambda dtype: dtype.size)
        if target == tf.bool and any(dtype_of(value) != tf.bool for value in values):
            target = tf.int32
    found = []
    for value in values:
        if is_symbolic(value):
            found.append(value if dtype_of(value) == target else emit.op(tf.cast, value, target))
        else:
            found.append(plain(np.asarray(value, target.as_numpy_dtype)))
    return found


def plain(array: Any) -> Any:
    """A scalar array as a Python number; others as they are."""
    return array.item() if array.ndim == 0 else array
