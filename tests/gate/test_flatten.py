"""Configs of every wiring, inlined into one flat list of calls."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edgepack import errors, gate
from edgepack.gate.flatten import safe_name
from edgepack.gate.topology import snake_case


def tensor(layer: str, node: int = 0, index: int = 0) -> dict[str, Any]:
    """A Keras 3 tensor."""
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 4], "keras_history": [layer, node, index]},
    }


def placed(entry: dict[str, Any], *nodes: Any) -> dict[str, Any]:
    """A layer's entry in a Functional config, with its calls."""
    return {**entry, "name": entry["config"]["name"], "inbound_nodes": list(nodes)}


def call(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """A Keras 3 call."""
    return {"args": list(args), "kwargs": kwargs}


def functional(
    layers: list[dict[str, Any]], inputs: Any, outputs: Any, name: str = "model"
) -> dict[str, Any]:
    settings = {"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Functional", "module": "keras", "config": settings}


def wiring(graph: gate.Graph) -> list[tuple[str, Any]]:
    """Each call as (layer, names of the layers it reads from)."""
    return [(item.layer, [graph.calls[ref.call].layer for ref in item.refs()]) for item in graph.calls]


@pytest.fixture
def read(write_keras: Any) -> Any:
    """read(config, version) → graph without weights."""
    return lambda config, version="3.5.0": gate.read(
        write_keras(config, {}, version=version), with_weights=False
    )


def act(entries: SimpleNamespace, name: str) -> dict[str, Any]:
    return entries.layer("Activation", name, activation="relu")


@pytest.mark.parametrize("base", [0, 1])
def test_calls_of_a_nested_model_count_from_one_in_keras2(
    read: Any, entries: SimpleNamespace, base: int
) -> None:
    nested = entries.sequential(entries.input("i"), act(entries, "r"), name="nested")
    config = functional(
        [
            placed(entries.input()),
            placed(nested, [["x", 0, 0, {}]], [["nested", base, 0, {}]]),
            placed(entries.layer("Add", "add"), [["nested", base, 0, {}], ["nested", base + 1, 0, {}]]),
        ],
        [["x", 0, 0]],
        [["add", 0, 0]],
    )
    assert wiring(read(config, "2.15.0")) == [
        ("x", []), ("nested_r", ["x"]), ("nested_r", ["nested_r"]), ("add", ["nested_r", "nested_r"])
    ]  # fmt: skip


def test_keras3_counts_from_one_only_in_the_outputs(read: Any, entries: SimpleNamespace) -> None:
    nested = functional(
        [placed(entries.input("i")), placed(act(entries, "r"), call(tensor("i")))],
        ["i", 0, 0],
        ["r", 0, 0],
        "nested",
    )
    config = functional(
        [
            placed(entries.input()),
            placed(nested, call(tensor("x")), call(tensor("nested", 0)), call(tensor("nested", 1))),
        ],
        ["x", 0, 0],
        [["nested", 3, 0], ["nested", 1, 0]],
    )
    graph = read(config)
    assert [ref.call for _, ref in graph.outputs] == [3, 1]
    assert [name for name, _ in graph.outputs] == ["nested", "nested_1"]


def test_several_outputs_of_a_nested_model_and_dict_inputs(read: Any, entries: SimpleNamespace) -> None:
    nested = functional(
        [
            placed(entries.input("p")),
            placed(entries.input("q")),
            placed(act(entries, "r"), call(tensor("p"))),
        ],
        {"left": ["p", 0, 0], "right": ["q", 0, 0]},
        [["q", 0, 0], ["r", 0, 0]],
        "nested",
    )
    config = functional(
        [
            placed(entries.input("a")),
            placed(entries.input("b")),
            placed(nested, call({"right": tensor("a"), "left": tensor("b")})),
            placed(entries.layer("Subtract", "sub"), call([tensor("nested", 0, 0), tensor("nested", 0, 1)])),
        ],
        [["a", 0, 0], ["b", 0, 0]],
        {"difference": ["sub", 0, 0]},
    )
    graph = read(config)
    assert wiring(graph)[2:] == [("nested_r", ["b"]), ("sub", ["a", "nested_r"])]
    assert graph.outputs[0][0] == "difference"


def test_inputs_given_by_name_keep_their_names(read: Any, entries: SimpleNamespace) -> None:
    config = functional(
        [placed(entries.input("layer_a")), placed(act(entries, "r"), call(tensor("layer_a")))],
        {"Pixel values": ["layer_a", 0, 0]},
        {"score": ["r", 0, 0]},
    )
    assert [spec.name for spec in read(config).specs] == ["Pixel_values"]


def test_calls_that_no_output_needs_are_left_out(read: Any, entries: SimpleNamespace) -> None:
    config = functional(
        [
            placed(entries.input()),
            placed(act(entries, "dead"), call(tensor("x"))),
            placed(act(entries, "r"), call(tensor("x"))),
        ],
        [["x", 0, 0]],
        [["r", 0, 0]],
    )
    assert "dead" not in read(config).layers


def test_constants_and_tensors_in_keras2_arguments(read: Any, entries: SimpleNamespace) -> None:
    multiply = entries.layer("TFOpLambda", "multiply", module=None, function="math.multiply")
    concat = entries.layer("TFOpLambda", "concat", module=None, function="concat")
    config = functional(
        [
            placed(entries.input()),
            placed(multiply, ["_CONSTANT_VALUE", -1, 2.0, {"y": ["x", 0, 0], "name": None}]),
            placed(concat, [["multiply", 0, 0, {"axis": -1}]]),
        ],
        [["x", 0, 0]],
        [["concat", 0, 0]],
    )
    graph = read(config, "2.9.0")
    assert graph.calls[1].args == (2.0,) and graph.calls[1].kwargs["y"] == gate.Ref(0)
    assert graph.calls[2].args == ([gate.Ref(1)],)  # tf.concat keeps its list of one


@pytest.mark.parametrize(
    ("version", "node", "words"),
    [
        ("2.9.0", [["nobody", 0, 0, {}]], "'nobody', which is not in the model"),
        ("2.9.0", [["x", 0, 0, {"training": True}]], "training=True"),
        ("2.9.0", [["x", 3, 0, {}]], "'x' .* is an input that the model does not list"),
        ("2.9.0", 7, "a call reads 7"),
        ("3.5.0", {"args": 7}, "in no form that Keras uses"),
        (
            "3.5.0",
            {"args": [{"class_name": "__keras_tensor__", "config": {"keras_history": ["x"]}}]},
            "history",
        ),
        ("3.5.0", {"args": [{"class_name": "SomeObject", "config": {}}]}, "without running its code"),
        (
            "3.5.0",
            {"args": [{"class_name": "__numpy__", "config": {"value": "x", "dtype": "O"}}]},
            "constant",
        ),
    ],
)
def test_broken_calls(read: Any, entries: SimpleNamespace, version: str, node: Any, words: str) -> None:
    config = functional(
        [placed(entries.input()), placed(act(entries, "r"), node)], [["x", 0, 0]], [["r", 0, 0]]
    )
    with pytest.raises(errors.ModelError, match=words):
        read(config, version)


def masked(
    entries: SimpleNamespace, first: dict[str, Any], *operations: dict[str, Any], mask: str
) -> dict[str, Any]:
    lstm = entries.layer("LSTM", "lstm", units=2)
    layers = [placed(entries.input(shape=(None, 6, 4))), first, *operations]
    layers.append(placed(lstm, call(tensor(first["name"]), mask=tensor(mask))))
    return functional(layers, [["x", 0, 0]], [["lstm", 0, 0]])


def operation(name: str, class_name: str, node: Any, **config: Any) -> dict[str, Any]:
    entry = {"class_name": class_name, "module": "keras.src.ops.numpy", "registered_name": class_name}
    return placed({**entry, "config": {"name": name, **config}}, node)


def test_masks_that_keras3_wrote_down_itself_are_taken_out(read: Any, entries: SimpleNamespace) -> None:
    masking = placed(entries.layer("Masking", "masking", mask_value=0.5), call(tensor("x")))
    operations = (
        operation("ne", "NotEqual", call(tensor("x"), 0.5)),
        operation("any", "Any", call(tensor("ne")), axis=-1, keepdims=False),
    )
    graph = read(masked(entries, masking, *operations, mask="any"))
    assert wiring(graph) == [("x", []), ("masking", ["x"]), ("lstm", ["masking"])]
    assert graph.calls[-1].kwargs == {}


def test_a_mask_of_the_users_own_stays(read: Any, entries: SimpleNamespace) -> None:
    plain = placed(act(entries, "r"), call(tensor("x")))
    graph = read(masked(entries, plain, operation("ne", "NotEqual", call(tensor("x"), 0.0)), mask="ne"))
    assert graph.calls[-1].kwargs == {"mask": gate.Ref(2)}


def test_names() -> None:
    assert [snake_case(name) for name in ("MaxPooling2D", "LSTM", "PReLU", "Conv2DTranspose", "TFOpLambda")] == [
        "max_pooling2d", "lstm", "p_re_lu", "conv2d_transpose", "tf_op_lambda"
    ]  # fmt: skip
    assert [safe_name(name) for name in ("conv", "a/b:c", "_x", "")] == ["conv", "a_b_c", "layer_x", "layer"]


def test_a_model_in_time_distributed_stands_between_fold_and_unfold(
    read: Any, entries: SimpleNamespace
) -> None:
    inner = entries.sequential(entries.dense("a"), entries.dense("b"), name="inner")
    for depth in (1, 2):
        entry = inner
        for _ in range(depth):
            entry = entries.layer("TimeDistributed", "each", layer=entry)
        graph = read(entries.sequential(entries.input(), entry, entries.dense("end")))
        assert wiring(graph)[1:] == [
            ("each_fold", ["x"]),
            ("each_a", ["each_fold"]),
            ("each_b", ["each_a"]),
            ("each", ["each_b", "x"]),
            ("end", ["each"]),
        ]
        assert graph.layers["each"].config == {"operation": "time/unfold", "axes": depth}


def test_bidirectional_around_a_model_is_refused(read: Any, entries: SimpleNamespace) -> None:
    inner = entries.sequential(entries.dense("a"), name="inner")
    with pytest.raises(errors.ModelError, match="Bidirectional around a whole model"):
        read(entries.sequential(entries.input(), entries.layer("Bidirectional", "both", layer=inner)))
