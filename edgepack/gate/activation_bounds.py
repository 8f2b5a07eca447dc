"""What activations make of bounds: monotone ones map both ends, others only a single value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.gate.graph import Layer

Array = npt.NDArray[np.float64]
Ends = tuple[Array, Array]


def _sigmoid(x: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -700.0, 700.0))))


def _elu(x: Array) -> Array:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0.0)))


MONOTONE: Final[dict[str, Callable[[Array], Array]]] = {
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "relu6": lambda x: np.clip(x, 0.0, 6.0),
    "sigmoid": _sigmoid,
    "tanh": np.tanh,
    "elu": _elu,
    "selu": lambda x: (
        1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0.0)))
    ),
    "exponential": lambda x: np.exp(np.minimum(x, 700.0)),
    "softplus": lambda x: np.logaddexp(0.0, x),
    "softsign": lambda x: np.where(
        np.isinf(x), np.sign(x), x / (1.0 + np.abs(np.where(np.isinf(x), 0.0, x)))
    ),
    "hard_sigmoid": lambda x: np.clip(0.2 * x + 0.5, 0.0, 1.0),
}
"""Activations that never fall, on float64 arrays that may hold infinities."""


def activated(activation: str | Mapping[str, Any], low: Array, high: Array) -> Ends:
    """Bounds after an activation, as a layer's config names it; anything where it is not known.

    Example:
      >>> low, high = activated("relu", np.array([-2.0, -np.inf]), np.array([-1.0, 3.0]))
      >>> low.tolist(), high.tolist()
      ([0.0, 0.0], [0.0, 3.0])
    """
    if isinstance(activation, str) and activation in MONOTONE:
        function = MONOTONE[activation]
        return function(low), function(high)
    return np.full_like(low, -np.inf), np.full_like(high, np.inf)


def relu_layer(layer: Layer, low: Array, high: Array) -> Ends | None:
    """Bounds after a layer of the ReLU family; None where it may fall somewhere."""
    config = layer.config
    if layer.kind == "ReLU":
        slope, threshold = float(config.get("negative_slope") or 0.0), float(config.get("threshold") or 0.0)
        largest = config.get("max_value")
        if slope < 0 or threshold < 0:
            return None
        top = np.inf if largest is None else float(largest)

        def relu(x: Array) -> Array:
            below = np.zeros_like(x) if slope == 0 else slope * (x - threshold)
            return np.where(x >= threshold, np.minimum(x, top), below)

        return relu(low), relu(high)
    if layer.kind in ("LeakyReLU", "ELU"):
        alpha = float(config.get("alpha", 0.3 if layer.kind == "LeakyReLU" else 1.0))
        if alpha < 0:
            return None
        return _bent(alpha, low, layer.kind), _bent(alpha, high, layer.kind)
    if (low >= 0).all() and layer.kind == "PReLU":
        return low, high
    return None


def _bent(alpha: float, x: Array, kind: str) -> Array:
    below = np.minimum(x, 0.0) if kind == "LeakyReLU" else np.expm1(np.minimum(x, 0.0))
    return np.where(x >= 0, x, np.zeros_like(x) if alpha == 0 else alpha * below)
