"""One layer of a graph as a live tf_keras layer, with its weights set and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tf_keras

from edgepack import errors
from edgepack.backend.activations import cell_activation, gate_factors, is_stock
from edgepack.gate.activations import Activation
from edgepack.gate.catalog import RECURRENT
from edgepack.gate.graph import Layer
from edgepack.gate.layers import LAYERS

_REBUILT_OTHERWISE: Final = ("InputLayer", "RMSNormalization", "LayerScale", "Identity")
CLASSES: Final[dict[str, Any]] = {
    kind: getattr(tf_keras.layers, kind) for kind in LAYERS if kind not in _REBUILT_OTHERWISE
}
"""tf_keras classes by kind: of the allow-list only, never of a name in a file."""

Weights = Sequence[npt.NDArray[Any]]


def make_layer(layer: Layer, custom: Mapping[str, Any]) -> tuple[Any, Activation | None]:
    """A layer of the graph, without weights.

    Returns:
      The tf_keras layer, and the activation that has to follow it as layers of its own (None for none).
    """
    if layer.kind == "custom":
        return _custom(layer, custom), None
    config = dict(layer.config)
    following = _take_activation(layer.kind, config)
    return _instance(layer.kind, layer.name, config), following


def _custom(layer: Layer, custom: Mapping[str, Any]) -> Any:
    if layer.custom_class is None or layer.custom_class not in custom:
        raise errors.TrustError(
            f"layer {layer.name!r} is your own class {layer.custom_class!r}; building it needs "
            f'[model] custom = ["module:{layer.custom_class}"] in the recipe and --trust-code'
        )
    return custom[layer.custom_class].from_config({**layer.config, "name": layer.name})


def _take_activation(kind: str, config: dict[str, Any]) -> Activation | None:
    """Removes from `config` an activation that the layer cannot carry, and returns it."""
    if kind == "TimeDistributed":
        inner = dict(config["layer"])
        inner["config"] = dict(inner["config"])
        following = _take_activation(inner["kind"], inner["config"])
        config["layer"] = inner
        return following
    if kind in RECURRENT or "activation" not in config or is_stock(config["activation"]):
        return None
    activation: Activation = config["activation"]
    config["activation"] = "linear"
    return activation


def _instance(kind: str, name: str, config: Mapping[str, Any]) -> Any:
    keywords = dict(config)
    if kind in RECURRENT:
        for key in ("activation", "recurrent_activation"):
            if key in keywords:
                keywords[key] = cell_activation(keywords[key])
    for key in ("layer", "backward_layer", "cell"):
        if keywords.get(key) is not None:
            keywords[key] = _inner(keywords[key])
    if "cells" in keywords:
        keywords["cells"] = [_inner(cell) for cell in keywords["cells"]]
    try:
        return CLASSES[kind](name=name, **keywords)
    except (TypeError, ValueError) as error:
        raise errors.ModelError(
            f"layer {name!r} ({kind}) cannot be built from its config: {error}"
        ) from error


def _inner(nested: Mapping[str, Any]) -> Any:
    config = dict(nested["config"])
    if _take_activation(nested["kind"], config) is not None:
        raise errors.ModelError(
            f"the {nested['kind']} {nested['name']!r} inside another layer has an activation that tf_keras lacks; "
            "use a plain Dense or Conv layer with an Activation layer behind it"
        )
    name = str(nested["name"]).removeprefix("forward_").removeprefix("backward_")
    return _instance(nested["kind"], name, config)


def set_weights(live: Any, layer: Layer) -> None:
    """Sets and checks a live layer's weights.

    Raises:
      ModelError: another number of arrays, or another shape, than the layer has; names both.
    """
    wanted = [tuple(weight.shape) for weight in live.weights]
    found = [tuple(weight.shape) for weight in layer.weights]
    if wanted != found:
        raise errors.ModelError(
            f"layer {layer.name!r} ({layer.kind}): the file holds weights of shapes {found}, but the layer its config "
            f"describes has {wanted}; the file is inconsistent, save the model again"
        )
    if found:
        live.set_weights(_scaled(layer.kind, layer.config, layer.weights))


def _scaled(kind: str, config: Mapping[str, Any], weights: Weights) -> list[npt.NDArray[Any]]:
    """Weights with the factor of Keras 3's hard_sigmoid in the gates that use it."""
    if kind == "Bidirectional":
        half = len(weights) // 2
        forward = config["layer"]
        backward = config.get("backward_layer") or forward
        return [
            *_scaled(forward["kind"], forward["config"], weights[:half]),
            *_scaled(backward["kind"], backward["config"], weights[half:]),
        ]
    if kind in ("TimeDistributed", "RNN"):
        inner = config["layer" if kind == "TimeDistributed" else "cell"]
        if isinstance(inner, list):
            inner = {"kind": "StackedRNNCells", "config": {"cells": inner}}
        return _scaled(inner["kind"], inner["config"], weights)
    if kind == "StackedRNNCells":
        scaled, rest = [], list(weights)
        for cell in config["cells"]:
            count = 3 if cell["config"].get("use_bias", True) else 2
            scaled += _scaled(cell["kind"], cell["config"], rest[:count])
            rest = rest[count:]
        return scaled
    if kind in RECURRENT:
        factors = gate_factors(kind, dict(config), int(config.get("units") or config["filters"]))
        if factors is not None:
            return [np.asarray(weight * factors, np.float32) for weight in weights]
    return list(weights)
