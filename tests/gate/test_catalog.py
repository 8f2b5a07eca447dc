"""What the catalogue takes, refuses, and makes of what the two generations mean differently."""

from __future__ import annotations

from typing import Any

import pytest

from edgepack import errors
from edgepack.gate import catalog
from edgepack.gate.activations import ACTIVATIONS, normalise_activation
from edgepack.gate.layers import LAYERS, REFUSED, SAME, TRAINING_ONLY


def normalise(
    class_name: str, config: dict[str, Any], generation: str = "keras3", **more: Any
) -> tuple[str, dict[str, Any]]:
    module = more.pop("module", "keras.layers")
    registered = more.pop("registered", None)
    return catalog.normalise(
        class_name, module, registered, config, generation=generation, layer_name="it", **more
    )


def test_a_keras3_config_loses_what_does_not_compute() -> None:
    config = {
        "name": "dense",
        "trainable": False,
        "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}},
        "units": 3,
        "activation": "relu",
        "use_bias": True,
        "kernel_initializer": {"module": "evil", "class_name": "Evil", "config": {}},
        "kernel_regularizer": {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": 0.1}},
        "lora_rank": None,
        "quantization_config": None,
    }
    assert normalise("Dense", config) == ("Dense", {"units": 3, "activation": "relu", "use_bias": True})


@pytest.mark.parametrize(("generation", "name"), [("keras3", "hard_sigmoid_6"), ("keras2", "hard_sigmoid")])
def test_hard_sigmoid_keeps_its_generation(generation: str, name: str) -> None:
    assert normalise("Activation", {"activation": "hard_sigmoid"}, generation) == (
        "Activation",
        {"activation": name},
    )


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (None, "linear"),
        ("swish", "silu"),
        ("hard_swish", "hard_silu"),
        ({"module": "builtins", "class_name": "function", "config": "gelu"}, "gelu"),
        ({"class_name": "LeakyReLU", "config": {"alpha": {"type": "ndarray", "value": 0.25}}},
         {"name": "leaky_relu", "negative_slope": 0.25}),
        ({"class_name": "ReLU", "config": {"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}},
         {"name": "relu", "max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}),
        ({"name": "leaky_relu", "negative_slope": 0.1}, {"name": "leaky_relu", "negative_slope": 0.1}),
    ],
)  # fmt: skip
def test_activations_have_one_spelling(value: Any, wanted: Any) -> None:
    assert normalise_activation(value, generation="keras2", where="layer 'it'") == wanted


@pytest.mark.parametrize("value", ["os.system", {"class_name": "function", "config": "f", "registered_name": "mine>f"},
                                   {"class_name": "Dense", "config": {}}, 3])  # fmt: skip
def test_foreign_activations_are_refused(value: Any) -> None:
    with pytest.raises(errors.ModelError, match="layer 'it'"):
        normalise_activation(value, generation="keras3", where="layer 'it'")


@pytest.mark.parametrize("class_name", sorted(REFUSED))
def test_refusals_name_the_layer_and_a_way_out(class_name: str) -> None:
    with pytest.raises(errors.ModelError) as caught:
        normalise(class_name, {"name": "it"})
    assert "'it'" in str(caught.value) and class_name in str(caught.value) and len(str(caught.value)) > 50


@pytest.mark.parametrize(
    ("class_name", "config", "said"),
    [
        ("Conv2D", {"data_format": "channels_first", "filters": 2}, "channels_first"),
        ("MaxPooling1D", {"data_format": "channels_first"}, "channels_first"),
        ("Dense", {"units": 2, "lora_rank": 4}, "LoRA"),
        ("Dense", {"units": 2, "quantization_mode": "int8"}, "quantized"),
        ("Dense", {"units": 2, "dtype": {"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}}, "quantized"),
        ("Dense", {"units": 2, "dtype": "int8_from_float32"}, "quantized"),
        ("LSTM", {"units": 2, "stateful": True}, "stateful=True"),
        ("LSTM", {"units": 2, "activation": "hard_sigmoid"}, "cannot be rebuilt inside a recurrent layer"),
        ("BatchNormalization", {"renorm": True}, "renorm=True"),
        ("LayerNormalization", {"rms_scaling": True}, "rms_scaling=True"),
        ("Resizing", {"height": 2, "width": 2, "pad_to_aspect_ratio": True}, "pad_to_aspect_ratio"),
        ("Dense", {"units": 2, "new_meaning": 7}, "new_meaning=7"),
        ("InputLayer", {"batch_shape": [None, 3], "sparse": True}, "sparse"),
        ("InputLayer", {"batch_shape": [None, 3], "dtype": "string"}, "string"),
        ("InputLayer", {"batch_shape": [None, -3]}, "shape"),
        ("TimeDistributed", {"layer": {"class_name": "Lambda", "config": {}}}, "Lambda"),
        ("TimeDistributed", {"layer": {"class_name": "Sequential", "config": {"layers": []}}}, "whole model"),
        ("Bidirectional", {"layer": 3}, "not readable"),
        ("NoSuchLayer", {}, "NoSuchLayer"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused(class_name: str, config: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.ModelError, match="'it'") as caught:
        normalise(class_name, config)
    assert said in str(caught.value)


def test_a_custom_class_may_not_pose_as_a_keras_layer() -> None:
    with pytest.raises(errors.ModelError, match="Custom>Dense"):
        normalise("Dense", {"units": 2}, registered="Custom>Dense")
    with pytest.raises(errors.ModelError, match="evil"):
        normalise("Dense", {"units": 2}, module="evil.layers")


def test_an_allowed_custom_class_stays_as_it_is() -> None:
    config = {"name": "it", "anything": [1, 2]}
    kind, kept = normalise("Mine", config, module="mine", registered="pack>Mine", custom=["mine:Mine"])
    assert (kind, kept) == ("custom", config)


def test_keras3_names_become_tf_keras_names() -> None:
    assert normalise("InputLayer", {"batch_shape": [8, 28, 28, 1], "dtype": "float16"})[1] == {
        "batch_input_shape": [None, 28, 28, 1],
        "dtype": "float32",
    }
    assert normalise("AvgPool2D", {"pool_size": [2, 2], "data_format": None})[1] == {
        "pool_size": [2, 2],
        "data_format": "channels_last",
    }


def test_old_gru_files_reset_before() -> None:
    assert normalise("GRU", {"units": 2}, "keras2")[1]["reset_after"] is False
    assert normalise("GRU", {"units": 2, "reset_after": True}, "keras2")[1]["reset_after"] is True


def test_wrapped_layers_are_normalised_too() -> None:
    layer = {"module": "keras.layers", "class_name": "LSTM",
             "config": {"name": "forward_lstm", "units": 4, "recurrent_activation": "hard_sigmoid"}}  # fmt: skip
    _, config = normalise("Bidirectional", {"merge_mode": "concat", "layer": layer, "backward_layer": None})
    assert config["layer"] == {
        "kind": "LSTM",
        "name": "forward_lstm",
        "config": {"units": 4, "recurrent_activation": "hard_sigmoid_6"},
    }


@pytest.mark.parametrize(
    ("class_name", "config", "wanted"),
    [
        ("TFOpLambda", {"function": "math.reduce_mean"}, {"operation": "tf/math.reduce_mean"}),
        ("TFOpLambda", {"function": "nn.swish"}, {"operation": "tf/nn.silu"}),
        ("TensorFlowOpLayer", {"node_def": '{"name": "m", "op": "Mul", "input": ["x", "m/y"]}', "constants": {"1": 2.0}},
         {"operation": "node/Mul", "attributes": {}, "constants": {"1": 2.0}, "inputs": 2}),
    ],
)  # fmt: skip
def test_keras2_operations(class_name: str, config: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert normalise(class_name, config, "keras2") == ("Operation", wanted)


def test_keras3_operations() -> None:
    found = normalise("Mean", {"name": "mean", "axis": [1], "keepdims": True}, module="keras.src.ops.numpy")
    assert found == ("Operation", {"operation": "keras3/Mean", "axis": [1], "keepdims": True})


@pytest.mark.parametrize(
    ("class_name", "config", "module"),
    [
        ("TFOpLambda", {"function": "io.read_file"}, None),
        ("TFOpLambda", {"function": "raw_ops.ReadFile"}, None),
        ("TensorFlowOpLayer", {"node_def": '{"name": "r", "op": "ReadFile"}'}, None),
        ("TensorFlowOpLayer", {"node_def": "not json"}, None),
        ("VectorizedMap", {}, "keras.src.ops.core"),
        ("Softmax", {"axis": -1, "temperature": 3.0}, "keras.src.ops.nn"),
    ],
)
def test_unknown_operations_are_refused(class_name: str, config: dict[str, Any], module: str | None) -> None:
    with pytest.raises(errors.ModelError, match="'it'"):
        normalise(class_name, config, "keras3" if module else "keras2", module=module)


def test_the_tables_do_not_overlap() -> None:
    assert not set(LAYERS) & set(REFUSED)
    assert not set(LAYERS) & set(TRAINING_ONLY)
    assert not set(REFUSED) & set(TRAINING_ONLY)
    assert set(SAME.values()) <= set(LAYERS) | set(REFUSED)
    assert {"relu", "hard_sigmoid_6"} <= ACTIVATIONS
