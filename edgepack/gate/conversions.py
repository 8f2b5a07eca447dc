"""Weights whose layout differs from tf_keras's, turned into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack.gate.graph import Layer
from edgepack.gate.template import Leaf

Array = npt.NDArray[Any]


def as_tf_keras(layer: Layer, leaf: Leaf | None) -> Layer:
    """The layer as tf_keras wants it: cuDNN cells unpacked, Normalization statistics as settings."""
    if leaf is None or not layer.weights:
        return layer
    if leaf.class_name == "CuDNNLSTM":
        return replace(layer, weights=_from_cudnn(layer.weights, 4))
    if leaf.class_name == "CuDNNGRU":
        return replace(layer, weights=_from_cudnn(layer.weights, 3))
    if layer.kind == "Normalization" and len(layer.weights) >= 2:
        # As weights they would count as trainable parameters of a stage; as settings they are what they mean.
        mean, variance = (weight.tolist() for weight in layer.weights[:2])
        return replace(layer, config={**layer.config, "mean": mean, "variance": variance}, weights=())
    return layer


def _from_cudnn(weights: tuple[Array, ...], gates: int) -> tuple[Array, ...]:
    """cuDNN keeps each gate's kernel in column order, and two biases (see tf_keras hdf5_format)."""
    kernel, recurrent, bias = weights

    def each(array: Array, function: Callable[[Array], Array]) -> Array:
        return np.hstack([function(gate) for gate in np.hsplit(array, gates)])

    kernel = each(kernel, lambda gate: gate.T.reshape(gate.shape, order="F"))
    recurrent = each(recurrent, lambda gate: gate.T)
    bias = bias.reshape(2, -1).sum(axis=0) if gates == 4 else bias.reshape(2, -1)
    return kernel, recurrent, bias
