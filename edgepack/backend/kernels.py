"""The kernel variables of a live tf_keras model, under the roles that `edgepack.gate.facts` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack import errors
from edgepack.gate import facts
from edgepack.gate.graph import Layer


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
        config=_plain(layer.get_config()),
        weights=tuple(np.asarray(weight) for weight in layer.get_weights()),
    )


def _plain(config: dict[str, Any]) -> dict[str, Any]:
    """A config whose wrapped layers are written as the gate writes them."""
    return {
        key: {"kind": value["class_name"], "config": _plain(value["config"])}
        if isinstance(value, dict) and "class_name" in value and isinstance(value.get("config"), dict)
        else value
        for key, value in config.items()
    }


def kernel_variables(layer: Any, weights: Sequence[Any] | None = None) -> tuple[KernelVariable, ...]:
    """The kernels of one live layer; () for layers such as BatchNormalization.

    Args:
      layer: live.
      weights: variables that stand for the layer's own, in the same order, where another model trains in its place.
    """
    if not layer.weights:
        return ()
    variables = layer.weights if weights is None else weights
    return tuple(
        KernelVariable(
            layer=layer.name,
            role=kernel.role,
            variable=variables[kernel.index],
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
