"""Layers that tf_keras lacks but stock layers can be: Keras 3's RMSNormalization, ConvNeXt's LayerScale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf
import tf_keras

from edgepack import errors
from edgepack.backend.emit import Emitter
from edgepack.gate.graph import Layer

_LETTERS: Final = "abcdefg"


def _scale(emit: Emitter, layer: Layer, x: Any) -> Any:
    """x times one weight a channel, as an EinsumDense, which holds the weights under the layer's name."""
    (gamma,) = layer.weights
    if gamma.ndim != 1 or gamma.shape[0] != x.shape[-1]:
        raise errors.ModelError(
            f"layer {layer.name!r} ({layer.kind}): {gamma.shape} weights do not fit {tuple(x.shape)}; "
            "expected one weight a channel"
        )
    axes = _LETTERS[: x.shape.rank]
    einsum = tf_keras.layers.EinsumDense(
        f"{axes},{axes[-1]}->{axes}", output_shape=tuple(x.shape[1:]), name=emit.own_name("scale")
    )
    y = einsum(x)
    einsum.set_weights([gamma])
    return y


def _rms_normalization(emit: Emitter, layer: Layer, x: Any) -> Any:
    """x / sqrt(mean(x²) + ε) · scale (Zhang and Sennrich, 2019)."""
    axis = layer.config.get("axis", -1)
    axes = [axis] if isinstance(axis, int) else list(axis)
    if [place % x.shape.rank for place in axes] != [x.shape.rank - 1]:
        raise errors.ModelError(
            f"layer {layer.name!r} (RMSNormalization) normalizes {axis}; only the last axis is rebuilt"
        )
    inner = emit.branch()
    square = inner.op(tf.math.reduce_mean, inner.op(tf.math.square, x), axis=-1, keepdims=True)
    root = inner.op(tf.math.rsqrt, inner.op(tf.math.add, square, float(layer.config.get("epsilon", 1e-6))))
    return _scale(emit, layer, inner.op(tf.math.multiply, x, root))


SPECIAL: Final[dict[str, Callable[[Emitter, Layer, Any], Any]]] = {
    "LayerScale": _scale,
    "RMSNormalization": _rms_normalization,
}
