"""The time axis of a ``TimeDistributed`` model, joined to the batch and parted from it again.

With fixed numbers of timesteps each is one reshape, which the converter merges with its neighbours. Masks, which
tf_keras does not carry over a reshape, are computed anew from what they came from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf
import tf_keras

from edgepack import errors
from edgepack.backend.emit import Emitter


def fold(emit: Emitter, x: Any, *, axes: int, mask: Any = None) -> Any:
    """[batch, time, …] → [batch · time, …] for `axes` axes of time.

    Args:
      mask: bool [batch, time, …] that the file passes explicitly.
    """
    y = _reshaped(emit, x, [-1, *_sizes(emit, x, 1 + axes)])
    mask = _mask_of(emit.branch(), x) if mask is None else mask
    if mask is None or mask.shape.rank <= 1 + axes:  # a mask of whole timesteps means nothing inside one
        return y
    return _masked(emit, y, _reshaped(emit.branch(), mask, [-1, *_sizes(emit, mask, 1 + axes)]))


def unfold(emit: Emitter, y: Any, x: Any, *, axes: int) -> Any:
    """[batch · time, …] → [batch, time, …], with the time axes of `x`; undoes `fold`."""
    inner = emit.branch()
    time = _sizes(emit, x, 1, 1 + axes)
    inside, outside = _mask_of(inner, y), _mask_of(inner, x)
    if inside is None and outside is None:
        return _reshaped(emit, y, [-1, *time, *_sizes(emit, y, 1)])
    if inside is not None:
        mask = _reshaped(inner, inside, [-1, *time, *_sizes(emit, inside, 1)])
    else:
        mask = outside
        while mask.shape.rank > 1 + axes:
            mask = inner.op(tf.reduce_any, mask, axis=-1)
    return _masked(emit, _reshaped(inner, y, [-1, *time, *_sizes(emit, y, 1)]), mask)


TIMED: Final[dict[str, Callable[..., Any]]] = {"fold": fold, "unfold": unfold}


def _sizes(emit: Emitter, x: Any, start: int, stop: int | None = None) -> list[Any]:
    """Lengths of axes ``start:stop``: numbers, or tensors where they are free."""
    sizes = list(x.shape[start:stop])
    if None not in sizes:
        return sizes
    inner = emit.branch()
    shape = inner.op(tf.shape, x)
    return [inner.item(shape, [start + place]) if size is None else size for place, size in enumerate(sizes)]


def _reshaped(emit: Emitter, x: Any, sizes: list[Any]) -> Any:
    return emit.op(tf.reshape, x, sizes)


def _masked(emit: Emitter, x: Any, mask: Any) -> Any:
    """`x` with `mask` attached: ``TimeDistributed`` hands a mask on that it is called with."""
    identity = tf_keras.layers.Activation("linear", name="identity")
    return tf_keras.layers.TimeDistributed(identity, name=emit.own_name("masked"))(x, mask=mask)


def _mask_of(emit: Emitter, x: Any) -> Any:
    """The mask that tf_keras attached to a tensor, computed anew; None where there is none.

    Raises:
      ModelError: it came about in a way that cannot be retraced.
    """
    if getattr(x, "_keras_mask", None) is None:
        return None
    history = x._keras_history
    layer = history.layer
    node = layer._inbound_nodes[history.node_index]
    source = node.keras_inputs[0]
    if isinstance(layer, tf_keras.layers.Embedding):
        return emit.op(tf.not_equal, source, 0)
    if isinstance(layer, tf_keras.layers.Masking):
        return emit.op(tf.reduce_any, emit.op(tf.not_equal, source, layer.mask_value), axis=-1)
    given = node.call_kwargs.get("mask")
    if given is not None:
        return given
    if len(node.keras_inputs) == 1:
        return _mask_of(emit, source)
    raise errors.ModelError(
        f"layer {layer.name!r} joins masks in front of a TimeDistributed model, which edgepack cannot retrace; mask "
        "behind that model, or build it without mask_zero and Masking"
    )
