"""Activation functions: what a model file may name, and what the name means in the generation that wrote it.

A normalised activation is a plain name of `ACTIVATIONS`, or, where the file carries settings of its own, a dict
``{"name": "leaky_relu", "negative_slope": 0.1}``. Nothing is ever looked up outside this table.
"""

from __future__ import annotations

from typing import Any, Final

from edgepack import errors

STOCK: Final = frozenset(
    {
        "elu",
        "exponential",
        "gelu",
        "hard_sigmoid",
        "leaky_relu",
        "linear",
        "log_softmax",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "softmax",
        "softplus",
        "softsign",
        "tanh",
    }
)
"""Activations that tf_keras 2.19 knows by name; a weighted layer carries them itself."""

COMPOSED: Final = frozenset(
    {
        "celu",
        "gelu_tanh",
        "glu",
        "hard_shrink",
        "hard_sigmoid_6",
        "hard_silu",
        "hard_tanh",
        "log_sigmoid",
        "soft_shrink",
        "sparse_plus",
        "sparse_sigmoid",
        "squareplus",
        "tanh_shrink",
        "threshold",
    }
)
"""Activations that tf_keras lacks: rebuilt from stock layers behind the layer that carried them."""

ACTIVATIONS: Final = STOCK | COMPOSED

_SAME: Final = {
    "swish": "silu",
    "hard_swish": "hard_silu",
    "LeakyReLU": "leaky_relu",
    "softmax_v2": "softmax",
    "gelu_approximate": "gelu_tanh",
}

_SETTINGS: Final[dict[str, tuple[str, ...]]] = {
    "celu": ("alpha",),
    "elu": ("alpha",),
    "glu": ("axis",),
    "hard_shrink": ("threshold",),
    "leaky_relu": ("negative_slope",),
    "log_softmax": ("axis",),
    "relu": ("max_value", "negative_slope", "threshold"),
    "soft_shrink": ("threshold",),
    "softmax": ("axis",),
    "squareplus": ("b",),
    "threshold": ("threshold", "default_value"),
}

_LAYERS_AS_ACTIVATIONS: Final = {
    "ELU": "elu",
    "LeakyReLU": "leaky_relu",
    "ReLU": "relu",
    "Softmax": "softmax",
}

Activation = str | dict[str, Any]


def normalise_activation(value: Any, *, generation: str, where: str) -> Activation:
    """One meaning for every spelling of an activation.

    Args:
      value: as in the file: None, a name, ``{"class_name": "function", "config": "relu"}`` or a serialised
        activation layer such as LeakyReLU.
      generation: "keras3" or "keras2". Keras 3's ``hard_sigmoid`` is relu6(x + 3) / 6, tf_keras's is
        clip(0.2 x + 0.5, 0, 1): the first becomes "hard_sigmoid_6".
      where: the layer, for the error message.

    Raises:
      ModelError: the activation is not in `ACTIVATIONS`, such as the user's own function.

    Example:
      >>> normalise_activation("hard_sigmoid", generation="keras3", where="layer 'a'")
      'hard_sigmoid_6'
      >>> normalise_activation(None, generation="keras2", where="layer 'a'")
      'linear'
    """
    settings: dict[str, Any] = {}
    if value is None:
        return "linear"
    if isinstance(value, dict):
        value, settings = _unwrapped(value, where)
    if not isinstance(value, str):
        raise errors.ModelError(
            f"{where}: its activation is {value!r}; expected the name of a Keras activation"
        )
    name = _SAME.get(value, value)
    if name == "hard_sigmoid" and generation == "keras3":
        name = "hard_sigmoid_6"
    if name not in ACTIVATIONS:
        raise errors.ModelError(
            f"{where}: activation {value!r} is not a Keras activation that edgepack knows "
            f"({', '.join(sorted(ACTIVATIONS))}); replace the function by one of these and save the model again"
        )
    kept = {key: settings[key] for key in _SETTINGS.get(name, ()) if settings.get(key) is not None}
    return {"name": name, **kept} if kept else name


def _unwrapped(value: dict[str, Any], where: str) -> tuple[Any, dict[str, Any]]:
    """Name and settings of a serialised function or activation layer."""
    class_name, config = value.get("class_name"), value.get("config")
    if "name" in value and class_name is None:  # already normalised
        return value["name"], {key: item for key, item in value.items() if key != "name"}
    if class_name == "function" and isinstance(config, str):
        registered = value.get("registered_name")
        if isinstance(registered, str) and ">" in registered:
            raise errors.ModelError(
                f"{where}: its activation is the custom function {registered!r}, whose code is not in the file; "
                "use a Keras activation by name and save the model again"
            )
        return config, {}
    if isinstance(class_name, str) and class_name in _LAYERS_AS_ACTIVATIONS and isinstance(config, dict):
        settings = {"negative_slope" if key == "alpha" and class_name == "LeakyReLU" else key: _number(item)
                    for key, item in config.items()}  # fmt: skip
        return _LAYERS_AS_ACTIVATIONS[class_name], settings
    if class_name == "Activation" and isinstance(config, dict):
        inner = config.get("activation")
        return _unwrapped(inner, where) if isinstance(inner, dict) else (inner, {})
    raise errors.ModelError(
        f"{where}: its activation is a {class_name!r} object; expected the name of a Keras activation: "
        "put the layer behind this one instead, or use an activation by name, and save the model again"
    )


def _number(value: Any) -> Any:
    """Early Keras 2 wrote scalars as ``{"type": "ndarray", "value": 0.3}``."""
    if isinstance(value, dict) and value.get("type") == "ndarray":
        return value.get("value")
    return value
