"""Activations that tf_keras does not have, rebuilt from what it has.

A layer of a candidate carries a stock activation or none; everything else follows it as layers of its own, which a
stock tf_keras can load and TFLite can fuse. Inside recurrent cells nothing can follow, so there the factor of Keras 3's
hard_sigmoid goes into the weights (`gate_factors`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras

from edgepack.backend.emit import Emitter
from edgepack.gate.activations import STOCK, Activation

HARD_SIGMOID_FACTOR: Final = 5.0 / 6.0
"""Keras 3: clip(x/6 + 1/2, 0, 1). tf_keras: clip(x/5 + 1/2, 0, 1). So the first at x is the second at 5/6 x."""


def is_stock(activation: Activation) -> bool:
    """Whether a layer can carry the activation itself, by name."""
    return isinstance(activation, str) and activation in STOCK


def emit_activation(emit: Emitter, activation: Activation, x: Any) -> Any:
    """Applies a normalised activation to the tensor `x` by layers."""
    name = activation["name"] if isinstance(activation, dict) else activation
    settings = (
        {key: value for key, value in activation.items() if key != "name"}
        if isinstance(activation, dict)
        else {}
    )
    masked = getattr(x, "_keras_mask", None) is not None
    if name in _LAYERS and (settings or name not in STOCK):
        return _LAYERS[name](emit, x, **settings)
    if name in STOCK and not settings:
        return emit.layer(tf_keras.layers.Activation, name, x, activation=name)
    y = _FUNCTIONS[name](emit, x, **settings)
    return _carry_mask(emit, x, y) if masked else y


def cell_activation(activation: Activation) -> Any:
    """An activation for a recurrent cell: a name, or a serialised stock activation layer."""
    if isinstance(activation, str):
        return "hard_sigmoid" if activation == "hard_sigmoid_6" else activation
    settings = {key: value for key, value in activation.items() if key != "name"}
    if activation["name"] == "leaky_relu":
        return tf_keras.layers.LeakyReLU(alpha=settings["negative_slope"], name="activation")
    kinds = {"relu": tf_keras.layers.ReLU, "elu": tf_keras.layers.ELU, "softmax": tf_keras.layers.Softmax}
    return kinds[activation["name"]](name="activation", **settings)


def gate_factors(kind: str, config: dict[str, Any], units: int) -> npt.NDArray[np.float32] | None:
    """Factor of each column of a recurrent layer's kernels and biases, None where all are 1.

    Columns are the gates in Keras's order, `units` each: LSTM i, f, c, o; GRU z, r, h; SimpleRNN only h.
    """
    gates = {"recurrent": config.get("recurrent_activation"), "input": config.get("activation")}
    factors = {key: HARD_SIGMOID_FACTOR if value == "hard_sigmoid_6" else 1.0 for key, value in gates.items()}
    if all(factor == 1.0 for factor in factors.values()):
        return None
    if "GRU" in kind:
        order = ["recurrent", "recurrent", "input"]
    elif "LSTM" in kind:
        order = ["recurrent", "recurrent", "input", "recurrent"]
    else:
        order = ["input"]
    return np.repeat(np.asarray([factors[gate] for gate in order], np.float32), units)


def _carry_mask(emit: Emitter, x: Any, y: Any) -> Any:
    """`y` with the mask of `x`: operations lose it, merge layers keep it. Adds x - x."""
    nothing = emit.layer(tf_keras.layers.Subtract, "nothing", [x, x])
    return emit.layer(tf_keras.layers.Add, "masked", [y, nothing])


def _leaky_relu(emit: Emitter, x: Any, negative_slope: float = 0.2) -> Any:
    return emit.layer(tf_keras.layers.LeakyReLU, "leaky_relu", x, alpha=negative_slope)


def _relu(emit: Emitter, x: Any, **settings: float) -> Any:
    return emit.layer(tf_keras.layers.ReLU, "relu", x, **settings)


def _elu(emit: Emitter, x: Any, alpha: float = 1.0) -> Any:
    return emit.layer(tf_keras.layers.ELU, "elu", x, alpha=alpha)


def _softmax(emit: Emitter, x: Any, axis: int = -1) -> Any:
    return emit.layer(tf_keras.layers.Softmax, "softmax", x, axis=axis)


def _log_softmax(emit: Emitter, x: Any, axis: int = -1) -> Any:
    return emit.op(tf.nn.log_softmax, x, axis=axis)


def _hard_sigmoid(emit: Emitter, x: Any) -> Any:
    return emit.op(tf.math.multiply, emit.op(tf.nn.relu6, emit.op(tf.math.add, x, 3.0)), 1.0 / 6.0)


def _hard_silu(emit: Emitter, x: Any) -> Any:
    return emit.op(tf.math.multiply, x, _hard_sigmoid(emit, x))


def _gelu_tanh(emit: Emitter, x: Any) -> Any:
    return emit.op(tf.nn.gelu, x, approximate=True)


def _celu(emit: Emitter, x: Any, alpha: float = 1.0) -> Any:
    """max(x, 0) + min(0, α (exp(x/α) - 1)) = α elu(x / α), which is elu for α = 1."""
    if alpha == 1.0:
        return _elu(emit, x)
    return emit.op(tf.math.multiply, emit.op(tf.nn.elu, emit.op(tf.math.divide, x, alpha)), alpha)


def _glu(emit: Emitter, x: Any, axis: int = -1) -> Any:
    first, second = emit.op(tf.split, x, num_or_size_splits=2, axis=axis)
    return emit.op(tf.math.multiply, first, emit.op(tf.math.sigmoid, second))


def _clipped(emit: Emitter, x: Any, low: float, high: float) -> Any:
    return emit.op(tf.math.minimum, emit.op(tf.math.maximum, x, low), high)


def _hard_tanh(emit: Emitter, x: Any) -> Any:
    return _clipped(emit, x, -1.0, 1.0)


def _hard_shrink(emit: Emitter, x: Any, threshold: float = 0.5) -> Any:
    large = emit.op(tf.cast, emit.op(tf.math.greater, emit.op(tf.math.abs, x), threshold), tf.float32)
    return emit.op(tf.math.multiply, x, large)


def _soft_shrink(emit: Emitter, x: Any, threshold: float = 0.5) -> Any:
    """x without its part in [-θ, θ]: relu(x - θ) - relu(-x - θ)."""
    above = emit.op(tf.nn.relu, emit.op(tf.math.subtract, x, threshold))
    below = emit.op(tf.nn.relu, emit.op(tf.math.subtract, emit.op(tf.math.negative, x), threshold))
    return emit.op(tf.math.subtract, above, below)


def _log_sigmoid(emit: Emitter, x: Any) -> Any:
    return emit.op(tf.math.negative, emit.op(tf.math.softplus, emit.op(tf.math.negative, x)))


def _sparse_sigmoid(emit: Emitter, x: Any) -> Any:
    return _clipped(emit, emit.op(tf.math.multiply, emit.op(tf.math.add, x, 1.0), 0.5), 0.0, 1.0)


def _sparse_plus(emit: Emitter, x: Any) -> Any:
    """(clip(x, -1, 1) + 1)² / 4 + relu(x - 1): 0 below -1, the parabola between, x above 1."""
    base = emit.op(tf.math.square, emit.op(tf.math.add, _clipped(emit, x, -1.0, 1.0), 1.0))
    rest = emit.op(tf.nn.relu, emit.op(tf.math.subtract, x, 1.0))
    return emit.op(tf.math.add, emit.op(tf.math.multiply, base, 0.25), rest)


def _squareplus(emit: Emitter, x: Any, b: float = 4.0) -> Any:
    root = emit.op(tf.math.sqrt, emit.op(tf.math.add, emit.op(tf.math.square, x), float(b)))
    return emit.op(tf.math.multiply, emit.op(tf.math.add, x, root), 0.5)


def _tanh_shrink(emit: Emitter, x: Any) -> Any:
    return emit.op(tf.math.subtract, x, emit.op(tf.math.tanh, x))


def _threshold(emit: Emitter, x: Any, threshold: float = 0.0, default_value: float = 0.0) -> Any:
    above = emit.op(tf.math.greater, x, threshold)
    if default_value == 0.0 and math.isfinite(threshold):
        return emit.op(tf.math.multiply, x, emit.op(tf.cast, above, tf.float32))
    return emit.op(tf.where, above, x, default_value)


_LAYERS: Final[dict[str, Callable[..., Any]]] = {
    "elu": _elu,
    "leaky_relu": _leaky_relu,
    "relu": _relu,
    "softmax": _softmax,
}

_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "celu": _celu,
    "gelu_tanh": _gelu_tanh,
    "glu": _glu,
    "hard_shrink": _hard_shrink,
    "hard_sigmoid_6": _hard_sigmoid,
    "hard_silu": _hard_silu,
    "hard_tanh": _hard_tanh,
    "log_sigmoid": _log_sigmoid,
    "log_softmax": _log_softmax,
    "soft_shrink": _soft_shrink,
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": _sparse_sigmoid,
    "squareplus": _squareplus,
    "tanh_shrink": _tanh_shrink,
    "threshold": _threshold,
}
