"""From a layer in a model file to the tf_keras layer that means the same: an allow-list, never an import.

`normalise` is the only way in. It knows two generations (Keras 3 and Keras 2, tf_keras included) and gives one spelling:
keywords of the tf_keras class, activations by name, no initializers, regularizers, constraints or dtypes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from edgepack import errors
from edgepack.gate.activations import STOCK, normalise_activation
from edgepack.gate.layers import (
    LAYERS,
    NEVER,
    NO_EFFECT,
    NO_EFFECT_ENDINGS,
    REFUSED,
    SAME,
    TRAINING_ONLY,
    LayerRule,
)
from edgepack.gate.operations import normalise_operation

KERAS_MODULES: Final = ("keras", "keras_core", "tf_keras", "tensorflow")
OPERATION_CLASSES: Final = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
RECURRENT: Final = (
    "SimpleRNN", "LSTM", "GRU", "SimpleRNNCell", "LSTMCell", "GRUCell", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D"
)  # fmt: skip
_LONG_MEMORY: Final = ("LSTM", "LSTMCell", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
_AS_LAYER: Final = ("relu", "leaky_relu", "elu", "softmax")
_ACTIVATION_KEYS: Final = ("activation", "recurrent_activation")
_MODELS: Final = ("Functional", "Sequential", "Model")
_FLOATS: Final = {"float16": "float32", "bfloat16": "float32", "float64": "float32"}
_INPUT_DTYPES: Final = ("float32", "int8", "uint8", "int16", "int32", "int64", "bool")


def is_training_only(kind: str) -> bool:
    """Whether a layer is the identity when predicting and is left out of the graph."""
    return kind in TRAINING_ONLY


def training_only_reason(kind: str) -> str:
    """Why `is_training_only` holds, for the ledger."""
    return TRAINING_ONLY[kind]


def normalise(
    class_name: str,
    module: str | None,
    registered_name: str | None,
    config: Mapping[str, Any],
    *,
    generation: str,
    layer_name: str,
    custom: Sequence[str] = (),
) -> tuple[str, dict[str, Any]]:
    """Kind and keyword arguments of the tf_keras layer that means the same as a layer of a model file.

    Args:
      class_name, module, registered_name, config: as in the file; module and registered_name are None in older files.
      generation: "keras3" or "keras2".
      layer_name: for error messages.
      custom: "module:Class" of the user's own layers that the recipe allows.

    Returns:
      ``(kind, config)``. Kind is a key of `LAYERS` (or the tf_keras class that it names), "Operation" (see
      `edgepack.gate.operations`), "custom" (config untouched), or a key of `TRAINING_ONLY`.
      Wrapped layers (TimeDistributed, Bidirectional, RNN cells) are ``{"kind", "name", "config"}`` dicts.

    Raises:
      ModelError: the layer or one of its settings is refused; the message names the layer and what to do.

    Example:
      >>> normalise("LeakyReLU", "keras.layers", None, {"name": "a", "negative_slope": 0.1}, generation="keras3",
      ...           layer_name="a")
      ('LeakyReLU', {'alpha': 0.1})
    """
    if class_name in {reference.partition(":")[2] for reference in custom}:
        return "custom", dict(config)
    if class_name in REFUSED:
        raise errors.ModelError(f"layer {layer_name!r} ({class_name}) {REFUSED[class_name]}")
    _check_origin(class_name, module, registered_name, layer_name)
    settings = {key: _plain(value) for key, value in config.items()}
    _check_never(class_name, settings, layer_name)
    if class_name in OPERATION_CLASSES or _is_operation(module):
        return normalise_operation(class_name, settings, layer_name=layer_name, generation=generation)
    kind = SAME.get(class_name, class_name)
    if kind in TRAINING_ONLY:
        return kind, {}
    if kind == "InputLayer":
        return kind, _input(settings, layer_name)
    if kind not in LAYERS:
        raise _unknown(class_name, layer_name)
    rule = LAYERS[kind]
    normalised = _settings(rule, kind, settings, layer_name)
    for key in _ACTIVATION_KEYS:
        if key in normalised:
            normalised[key] = normalise_activation(
                normalised[key], generation=generation, where=f"layer {layer_name!r} ({kind})"
            )
    _check_recurrent(kind, normalised, layer_name)
    for key in rule.nested:
        if settings.get(key) is not None:
            normalised[key] = _nested(
                settings[key], generation=generation, layer_name=layer_name, custom=custom
            )
    return rule.kind or kind, normalised


def _settings(rule: LayerRule, kind: str, settings: Mapping[str, Any], layer_name: str) -> dict[str, Any]:
    found: dict[str, Any] = dict(rule.defaults)
    for key, value in settings.items():
        name = rule.renames.get(key, key)
        if key in rule.only:
            if not any(value is allowed or value == allowed for allowed in rule.only[key]):
                raise errors.ModelError(
                    f"layer {layer_name!r} ({kind}) has {key}={value!r}, which edgepack cannot rebuild; expected "
                    f"{rule.only[key][0]!r}: set that where the model is built and save it again"
                )
        elif name in rule.keys:
            found[name] = value
        elif key not in rule.minor and key not in rule.nested and not _without_effect(key, value):
            raise errors.ModelError(
                f"layer {layer_name!r} ({kind}) has the setting {key}={value!r}, which edgepack does not know and will "
                "not guess; build the layer without it and save the model again"
            )
    if "data_format" in settings or "data_format" in rule.keys:
        _check_data_format(settings.get("data_format"), kind, layer_name)
        if "data_format" in rule.keys:
            found["data_format"] = "channels_last"
    return found


def _without_effect(key: str, value: Any) -> bool:
    return (
        value is None
        or key in NO_EFFECT
        or key.endswith(NO_EFFECT_ENDINGS)
        or key in NEVER
        or key == "data_format"
        or (key == "stateful" and value is False)
    )


def _check_data_format(value: Any, kind: str, layer_name: str) -> None:
    if value not in (None, "channels_last"):
        raise errors.ModelError(
            f"layer {layer_name!r} ({kind}) is {value}, which TFLite does not run; "
            "build the model with data_format='channels_last' (the weights are the same) and save it again"
        )


def _check_never(class_name: str, settings: Mapping[str, Any], layer_name: str) -> None:
    for key, reason in NEVER.items():
        if settings.get(key) is not None:
            raise errors.ModelError(f"layer {layer_name!r} ({class_name}) {reason}")
    policy = settings.get("dtype")
    if isinstance(policy, dict):
        inner = policy.get("config") if isinstance(policy.get("config"), dict) else {}
        if "Quantized" in str(policy.get("class_name")) or "quantization_mode" in (inner or {}):
            raise errors.ModelError(f"layer {layer_name!r} ({class_name}) {NEVER['quantization_mode']}")
        if str(policy.get("class_name")) == "DTypePolicyMap":
            raise errors.ModelError(
                f"layer {layer_name!r} ({class_name}) has a map of dtype policies; save the model with one plain policy"
            )
    elif isinstance(policy, str) and policy.startswith(("int8_from", "int4_from", "float8_from", "gptq")):
        raise errors.ModelError(f"layer {layer_name!r} ({class_name}) {NEVER['quantization_mode']}")


def _check_origin(class_name: str, module: str | None, registered_name: str | None, layer_name: str) -> None:
    """Only Keras's own classes: the name of a custom class may be that of a Keras layer."""
    if registered_name is not None and registered_name not in (class_name, f"keras>{class_name}"):
        raise _unknown(registered_name, layer_name)
    if module is not None and module.split(".")[0] not in KERAS_MODULES:
        raise _unknown(f"{module}.{class_name}", layer_name)


def _unknown(what: str, layer_name: str) -> errors.ModelError:
    name = what.replace(">", ".").rpartition(".")[2]
    return errors.ModelError(
        f"layer {layer_name!r} is a {what!r}, which is not a Keras layer that edgepack rebuilds; if it is your own, "
        f'name its class in the recipe, [model] custom = ["your_module:{name}"], and pass --trust-code'
    )


def _is_operation(module: str | None) -> bool:
    return module is not None and ".ops." in f".{module}."


def _check_recurrent(kind: str, config: Mapping[str, Any], layer_name: str) -> None:
    """Inside a recurrent cell an activation cannot be composed of layers; most can still be had (`backend.activations`)."""
    if kind not in RECURRENT:
        return
    for key in _ACTIVATION_KEYS:
        value = config.get(key, "linear")
        name = value["name"] if isinstance(value, dict) else value
        # hard_sigmoid_6(x) = hard_sigmoid(5/6 x): the factor goes into the weights, except where the cell's state is read.
        scalable = name == "hard_sigmoid_6" and not (key == "activation" and kind in _LONG_MEMORY)
        if not (scalable or (name in STOCK and (isinstance(value, str) or name in _AS_LAYER))):
            raise errors.ModelError(
                f"layer {layer_name!r} ({kind}): {key} {name!r} cannot be rebuilt inside a recurrent layer; "
                f"expected one of {', '.join(sorted(STOCK))}: train it with one of these"
            )


def _nested(value: Any, *, generation: str, layer_name: str, custom: Sequence[str]) -> Any:
    """A wrapped layer (or list of cells) as ``{"kind", "name", "config"}``."""
    if isinstance(value, (list, tuple)):
        return [_nested(item, generation=generation, layer_name=layer_name, custom=custom) for item in value]
    if not isinstance(value, dict) or not isinstance(value.get("config"), dict):
        raise errors.ModelError(f"layer {layer_name!r}: the layer inside it is not readable")
    class_name, config = str(value.get("class_name")), value["config"]
    if class_name in _MODELS:
        raise errors.ModelError(
            f"layer {layer_name!r} applies a whole model; edgepack needs the layers in the outer model: "
            "apply them one by one and save the model again"
        )
    kind, inner = normalise(
        class_name,
        value.get("module"),
        value.get("registered_name"),
        config,
        generation=generation,
        layer_name=layer_name,
        custom=custom,
    )
    if kind in ("custom", "Operation", "InputLayer") or kind in TRAINING_ONLY:
        raise errors.ModelError(f"layer {layer_name!r}: a {class_name} inside another layer is not supported")
    return {"kind": kind, "name": str(config.get("name", kind.lower())), "config": inner}


def _input(settings: Mapping[str, Any], layer_name: str) -> dict[str, Any]:
    for key in ("sparse", "ragged"):
        if settings.get(key):
            raise errors.ModelError(
                f"input {layer_name!r} is {key}; TFLite inputs are dense: build the model with a dense Input "
                "(pad to a fixed length) and save it again"
            )
    shape = settings.get("batch_input_shape", settings.get("batch_shape"))
    if not isinstance(shape, (list, tuple)) or not shape or not all(_is_dimension(size) for size in shape):
        raise errors.ModelError(
            f"input {layer_name!r} has the shape {shape!r}; expected a list like [null, 28, 28, 1]"
        )
    dtype = settings.get("dtype") or "float32"
    if isinstance(dtype, dict):
        inner = dtype.get("config")
        dtype = inner.get("name", "float32") if isinstance(inner, dict) else "float32"
    dtype = _FLOATS.get(
        str(dtype), str(dtype).replace("mixed_float16", "float32").replace("mixed_bfloat16", "float32")
    )
    if dtype not in _INPUT_DTYPES:
        raise errors.ModelError(
            f"input {layer_name!r} takes {dtype}; TFLite models take numbers ({', '.join(_INPUT_DTYPES)}): "
            "convert before the model"
        )
    return {"batch_input_shape": [None, *shape[1:]], "dtype": dtype}


def _is_dimension(size: Any) -> bool:
    return size is None or (isinstance(size, int) and not isinstance(size, bool) and size >= 0)


def _plain(value: Any) -> Any:
    """JSON spellings of tuples, arrays and numpy scalars as plain lists and numbers."""
    if isinstance(value, dict):
        class_name = value.get("class_name")
        if class_name == "__tuple__":
            return [_plain(item) for item in value.get("items", ())]
        if class_name in ("__numpy__", "__tensor__") and isinstance(value.get("config"), dict):
            return _plain(value["config"].get("value"))
        if value.get("type") in ("ndarray", "tuple") and "value" in value:
            return _plain(value["value"])
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
