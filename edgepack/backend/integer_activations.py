"""Activations written in ops that have exact-enough integer kernels.

The converter leaves ELU in float, has no Softsign at all, and writes SELU, softplus and mish over exp(x) of
large x, whose range leaves int8 a handful of codes where the curve bends (measured on N(0, 2) inputs: mean
errors of 14 %, 10 % and 4 % of the spread). The same functions over exp(−|x|), which stays within 0 … 1, lose
about 1 %.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


def substitute(model: Any, *, integer: bool) -> None:
    """Replaces activations on the layer objects; it shows when the model is traced next.

    Args:
      integer: for an integer scheme; otherwise only what TFLite has no op for is replaced.
    """
    table = _INTEGER if integer else _MISSING
    for outer in model.layers:
        for layer in outer._flatten_layers():
            for holder in (layer, getattr(layer, "cell", None)):
                _replace(holder, table)
            kind = type(layer).__name__
            if kind == "ELU" and integer:
                layer.call = functools.partial(elu, alpha=float(layer.alpha))
            elif kind == "TFOpLambda":
                name = str(layer.symbol).rpartition(".")[2]
                if str(layer.symbol).startswith(("nn.", "math.")) and name in table:
                    layer.call = _renamed(table[name])


def _replace(holder: Any, table: dict[str, Callable[..., Any]]) -> None:
    for attribute in ("activation", "recurrent_activation"):
        function = getattr(holder, attribute, None)
        name = getattr(function, "__name__", "")
        if name in table and str(getattr(function, "__module__", "")).startswith(
            ("tf_keras", "keras", "tensorflow")
        ):
            setattr(holder, attribute, table[name])


def _renamed(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """The function under either name that TensorFlow's ops give their only argument."""

    def call(features: Any = None, x: Any = None, name: str | None = None) -> Any:
        return function(x if features is None else features)

    return call


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where positive, else alpha * (exp(x) − 1)."""
    import tensorflow as tf

    below = tf.exp(tf.minimum(x, 0.0)) - 1.0
    return tf.nn.relu(x) + (below if alpha == 1.0 else alpha * below)


def selu(x: Any) -> Any:
    """Scaled ELU (Klambauer et al., 2017)."""
    import tensorflow as tf

    below = tf.exp(tf.minimum(x, 0.0)) - 1.0
    return tf.nn.relu(x) * SELU_SCALE + below * (SELU_SCALE * SELU_ALPHA)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), as relu(x) + log(1 + exp(−|x|)): the logarithm stays within 0 … log 2."""
    import tensorflow as tf

    return tf.nn.relu(x) + tf.math.log(1.0 + tf.exp(tf.abs(x) * -1.0))


def mish(x: Any) -> Any:
    """x · tanh(softplus(x)) (Misra, 2019)."""
    import tensorflow as tf

    return x * tf.tanh(softplus(x))


def softsign_of_integers(x: Any) -> Any:
    """x / (1 + |x|), dividing by way of a logarithm, which has an int8 kernel where division has none."""
    import tensorflow as tf

    return x * tf.exp(tf.math.log(1.0 + tf.abs(x)) * -1.0)


def softsign(x: Any) -> Any:
    """x / (1 + |x|)."""
    import tensorflow as tf

    return x / (1.0 + tf.abs(x))


_MISSING: dict[str, Callable[..., Any]] = {"softsign": softsign}
_INTEGER: dict[str, Callable[..., Any]] = {
    "elu": elu,
    "mish": mish,
    "selu": selu,
    "softplus": softplus,
    "softsign": softsign_of_integers,
}
