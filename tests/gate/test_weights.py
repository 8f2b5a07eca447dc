"""Whose weights are whose: nested groups of legacy files, wrappers, old cells."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgepack import errors, gate
from edgepack.gate.conversions import as_tf_keras
from edgepack.gate.graph import Layer
from edgepack.gate.template import Leaf
from edgepack.gate.weight_names import weight_names


def nested(entries: SimpleNamespace, **settings: Any) -> Any:
    """Conv-less block of Dense and BatchNormalization inside a Sequential."""
    norm = entries.layer("BatchNormalization", "norm", axis=-1, scale=True, center=True, **settings)
    block = entries.sequential(
        entries.input("i"), entries.dense("one", 3), norm, entries.dense("two", 2), name="block"
    )
    return entries.sequential(entries.input(), block, entries.dense("head", 2))


def numbered(names: list[str], shapes: list[tuple[int, ...]]) -> dict[str, Any]:
    return {
        name: np.full(shape, number, "f4")
        for number, (name, shape) in enumerate(zip(names, shapes, strict=True))
    }


HEAD = {"kernel:0": np.ones((2, 2), "f4"), "bias:0": np.ones(2, "f4")}


def firsts(graph: gate.Graph, name: str) -> list[float]:
    return [float(weight.flat[0]) for weight in graph.layers[name].weights]


def test_nested_group_lists_trained_weights_first(write_h5: Any, entries: SimpleNamespace) -> None:
    names = ["one/kernel:0", "one/bias:0", "norm/gamma:0", "norm/beta:0", "two/kernel:0", "two/bias:0",
             "norm/moving_mean:0", "norm/moving_variance:0"]  # fmt: skip
    shapes = [(4, 3), (3,), (3,), (3,), (3, 2), (2,), (3,), (3,)]
    graph = gate.read(write_h5(nested(entries), {"block": numbered(names, shapes), "head": HEAD}))
    assert firsts(graph, "block_one") == [0, 1]
    assert firsts(graph, "block_norm") == [2, 3, 6, 7]
    assert firsts(graph, "block_two") == [4, 5]


def test_a_frozen_layer_comes_last_as_a_whole(write_h5: Any, entries: SimpleNamespace) -> None:
    names = ["one/kernel:0", "one/bias:0", "two/kernel:0", "two/bias:0",
             "norm/gamma:0", "norm/beta:0", "norm/moving_mean:0", "norm/moving_variance:0"]  # fmt: skip
    shapes = [(4, 3), (3,), (3, 2), (2,), (3,), (3,), (3,), (3,)]
    graph = gate.read(
        write_h5(nested(entries, trainable=False), {"block": numbered(names, shapes), "head": HEAD})
    )
    assert firsts(graph, "block_norm") == [4, 5, 6, 7]


def test_names_decide_where_the_order_is_odd(write_h5: Any, entries: SimpleNamespace) -> None:
    names = ["norm/gamma:0", "norm/beta:0", "norm/moving_mean:0", "norm/moving_variance:0",
             "two/kernel:0", "two/bias:0", "one/kernel:0", "one/bias:0"]  # fmt: skip
    shapes = [(3,), (3,), (3,), (3,), (3, 2), (2,), (4, 3), (3,)]
    graph = gate.read(write_h5(nested(entries), {"block": numbered(names, shapes), "head": HEAD}))
    assert firsts(graph, "block_one") == [6, 7]


def test_random_state_is_no_weight(write_h5: Any, entries: SimpleNamespace) -> None:
    arrays = {
        "kernel:0": np.ones((4, 3), "f4"),
        "bias:0": np.ones(3, "f4"),
        "random/StateVar:0": np.ones(3, "i8"),
    }
    graph = gate.read(
        write_h5(entries.sequential(entries.input(), entries.dense("hidden", 3)), {"hidden": arrays})
    )
    assert len(graph.layers["hidden"].weights) == 2


def test_missing_nested_weights(write_h5: Any, entries: SimpleNamespace) -> None:
    with pytest.raises(errors.ModelError, match="group 'block' holds 1 weights, but its layers have 8"):
        gate.read(write_h5(nested(entries), {"block": {"one/kernel:0": np.ones((4, 3), "f4")}, "head": HEAD}))


def test_wrappers_and_attention_in_an_archive(write_keras: Any, entries: SimpleNamespace) -> None:
    lstm = entries.layer("LSTM", "lstm", units=2, return_sequences=True)
    both = entries.layer("Bidirectional", "both", layer=lstm, merge_mode="concat")
    each = entries.layer("TimeDistributed", "each", layer=entries.dense("inner", 3))
    config = entries.sequential(entries.input(shape=(None, 5, 4)), both, each)
    arrays = {}
    for number, direction in enumerate(("forward_layer", "backward_layer")):
        for variable, shape in enumerate([(4, 8), (2, 8), (8,)]):
            arrays[f"layers/bidirectional/{direction}/cell/vars/{variable}"] = np.full(
                shape, 3 * number + variable, "f4"
            )
    arrays["layers/time_distributed/layer/vars/0"] = np.full((4, 3), 7, "f4")
    arrays["layers/time_distributed/layer/vars/1"] = np.full((3,), 8, "f4")
    graph = gate.read(write_keras(config, arrays))
    assert firsts(graph, "both") == [0, 1, 2, 3, 4, 5]
    assert firsts(graph, "each") == [7, 8]


def test_more_than_ten_layers_of_a_class_keep_their_numbers(
    write_keras: Any, entries: SimpleNamespace
) -> None:
    count = 12
    layers = [entries.dense(f"d{number}", 4) for number in range(count)]
    arrays = {}
    for number in range(count):
        folder = f"layers/dense_{number}" if number else "layers/dense"
        arrays[f"{folder}/vars/0"] = np.full((4, 4), number, "f4")
        arrays[f"{folder}/vars/1"] = np.zeros(4, "f4")
    graph = gate.read(write_keras(entries.sequential(entries.input(), *layers), arrays))
    assert [firsts(graph, f"d{number}")[0] for number in range(count)] == list(range(count))


def test_weight_names_follow_the_settings() -> None:
    assert weight_names("BatchNormalization", {"scale": False}) == (
        ("beta", True), ("moving_mean", False), ("moving_variance", False)
    )  # fmt: skip
    assert weight_names("Bidirectional", {"layer": {"class_name": "GRU", "config": {"use_bias": False}}}) == (
        (("kernel", True), ("recurrent_kernel", True)) * 2
    )
    assert weight_names("MyOwn", {}) is None


def cudnn_step(weights: Any, x: Any, h: Any, c: Any) -> Any:
    """One step of a CuDNNLSTM as Keras 2.2 ran it: per-gate kernels transposed, input and recurrent bias apart."""
    kernel, recurrent, bias = weights
    units = h.shape[1]
    columns = [kernel[:, gate * units : (gate + 1) * units] for gate in range(4)]
    rows = [column.T.reshape(column.shape, order="F") for column in columns]
    inner = [recurrent[:, gate * units : (gate + 1) * units].T for gate in range(4)]
    halves = bias[: 4 * units], bias[4 * units :]
    gates = [
        x @ rows[gate] + h @ inner[gate] + halves[0][gate * units : (gate + 1) * units]
        + halves[1][gate * units : (gate + 1) * units]
        for gate in range(4)
    ]  # fmt: skip
    i, f, g, o = gates
    sigmoid = lambda value: 1 / (1 + np.exp(-value))  # noqa: E731
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def test_cudnn_cell_becomes_a_plain_one() -> None:
    random = np.random.default_rng(2)
    weights = tuple(random.normal(size=shape).astype("f4") for shape in [(3, 8), (2, 8), (16,)])
    leaf = Leaf(name="l", class_name="CuDNNLSTM", module=None, registered_name=None, config={}, path="")
    kernel, recurrent, bias = as_tf_keras(
        Layer(name="l", kind="LSTM", config={}, weights=weights), leaf
    ).weights
    x, h, c = (random.normal(size=shape) for shape in [(4, 3), (4, 2), (4, 2)])
    wanted, _ = cudnn_step(weights, x, h, c)
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=1)
    sigmoid = lambda value: 1 / (1 + np.exp(-value))  # noqa: E731
    assert np.allclose(sigmoid(o) * np.tanh(sigmoid(f) * c + sigmoid(i) * np.tanh(g)), wanted)


def test_normalization_statistics_become_settings() -> None:
    leaf = Leaf(name="n", class_name="Normalization", module=None, registered_name=None, config={}, path="")
    weights = (np.array([1.0, 2.0], "f4"), np.array([4.0, 9.0], "f4"), np.array(7))
    layer = as_tf_keras(Layer(name="n", kind="Normalization", config={"axis": -1}, weights=weights), leaf)
    assert layer.config == {"axis": -1, "mean": [1.0, 2.0], "variance": [4.0, 9.0]} and layer.weights == ()
