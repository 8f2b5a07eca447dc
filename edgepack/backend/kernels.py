"""The kernel variables of a live tf_keras model, under the roles that `edgepack.gate.facts` gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack import errors
from edgepack.gate import facts
from edgepack.gate.graph import Layer
from edgepack.records import Json


@dataclass(frozen=True, kw_only=True)
class KernelVariable:
    """One trainable array that stages act on.

    Attributes:
      layer, role: which one; the role is the one of `facts.Kernel`.
      variable: the tf.Variable inside the layer.
      channel_axes: the axes that per-channel quantization scales; () for arrays with one scale.
    """

    layer: str
    role: str
    variable: Any
    channel_axes: tuple[int, ...]

    def value(self) -> np.ndarray:
        """The weights now, float32, in Keras layout."""
        array: np.ndarray = self.variable.numpy()
        return array


def described(layer: Any) -> Layer:
    """A live layer as the record that `facts.kernels` reads."""
    return Layer(
        name=layer.name,
        kind=type(layer).__name__,
        config=layer.get_config(),
        weights=tuple(np.asarray(weight) for weight in layer.get_weights()),
    )


def kernel_variables(layer: Any) -> tuple[KernelVariable, ...]:
    """The kernels of one live layer; () for layers such as BatchNormalization."""
    if not layer.weights:
        return ()
    return tuple(
        KernelVariable(
            layer=layer.name,
            role=kernel.role,
            variable=layer.weights[kernel.index],
            channel_axes=tuple(kernel.channel_axes or ()),
        )
        for kernel in facts.kernels(described(layer))
    )


def named_layer(model: Any, name: str) -> Any:
    """The layer called `name`.

    Raises:
      ModelError: there is none; the message lists the nearest names.
    """
    for layer in model.layers:
        if layer.name == name:
            return layer
    known = ", ".join(layer.name for layer in model.layers if layer.weights)
    raise errors.ModelError(f"the model has no layer {name!r}; its weighted layers are: {known}")


def measure(model: Any, names: list[str] | None = None) -> dict[str, Json]:
    """What the kernels show: per layer the fraction of zeros and the distinct values, as found.

    Args:
      model: a built tf_keras model.
      names: layers to measure; None for every layer with kernels.

    Returns:
      {layer: {"sparsity": zeros / weights over all kernels of the layer,
      "distinct": most distinct values in one array, "distinct_per_channel": most in one output channel}}.
    """
    found: dict[str, Json] = {}
    for layer in model.layers:
        if names is not None and layer.name not in names:
            continue
        kernels = kernel_variables(layer)
        if not kernels:
            continue
        arrays = [kernel.value() for kernel in kernels]
        zeros = sum(int(array.size - np.count_nonzero(array)) for array in arrays)
        found[layer.name] = {
            "sparsity": zeros / sum(array.size for array in arrays),
            "distinct": max(int(np.unique(array).size) for array in arrays),
            "distinct_per_channel": max(
                int(np.unique(channel).size)
                for kernel, array in zip(kernels, arrays, strict=True)
                for channel in channels_first(array, kernel.channel_axes)
            ),
        }
    return found


def channels_first(array: np.ndarray, channel_axes: tuple[int, ...]) -> np.ndarray:
    """Weights as one row per output channel, shape (channels, members); one row where there are no channel axes.

    Example:
      >>> channels_first(np.arange(6).reshape(3, 2), (1,))
      array([[0, 2, 4],
             [1, 3, 5]])
    """
    moved = np.moveaxis(array, channel_axes, range(len(channel_axes)))
    rows = int(np.prod(moved.shape[: len(channel_axes)], dtype=np.int64))
    return moved.reshape(rows, -1)
