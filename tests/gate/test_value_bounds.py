"""Bounds hold for whatever goes in, and equal bounds mean a constant."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.gate.graph import Layer
from edgepack.gate.recurrent_bounds import bounds as recurrent
from edgepack.gate.value_bounds import Bounds, bounds
from tests.gate.handmade_graphs import Sketch


def after(net: Sketch, name: str) -> Bounds:
    graph, shapes = net.finished(name)
    found = bounds(graph, shapes)
    return found[next(number for number, call in enumerate(graph.calls) if call.layer == name)]


def test_zero_kernels_are_constant_and_padding_undoes_it() -> None:
    net = Sketch((None, 4, 4, 3))
    kernel, bias = np.zeros((1, 1, 3, 2), np.float32), np.array([0.5, 0.0], np.float32)
    first = net.call(
        "Conv2D", "first", [net.image], (None, 4, 4, 2), (kernel, bias), filters=2, kernel_size=[1, 1]
    )
    net.conv("padded", first, 3)
    net.conv("plain", first, 3, padding="valid")
    assert after(net, "first").constant.all() and after(net, "first").high.tolist() == [0.5, 0.0]
    assert not after(net, "padded").constant.any() and after(net, "plain").constant.all()


def test_a_sum_that_never_rises_above_zero_is_dead_behind_a_relu() -> None:
    net = Sketch((None, 4))
    hidden = net.dense("hidden", net.image, 3, activation="relu")
    kernel = np.array([[-1.0, 1.0], [-2.0, 0.0], [-0.5, 0.0]], np.float32)
    net.call(
        "Dense", "dead", [hidden], (None, 2), (kernel, np.zeros(2, np.float32)), units=2, activation="relu"
    )
    found = after(net, "dead")
    assert found.constant.tolist() == [True, False] and found.high[1] == np.inf


def test_normalization_with_scale_zero_is_its_shift() -> None:
    net = Sketch((None, 4, 4, 3))
    weights = [
        np.array(each, np.float32) for each in ([0.0, 1.0, 2.0], [0.3, 0.0, 0.0], [5.0] * 3, [1.0] * 3)
    ]
    net.call("BatchNormalization", "norm", [net.image], (None, 4, 4, 3), weights, axis=-1, epsilon=1e-3)
    found = after(net, "norm")
    assert found.constant.tolist() == [True, False, False]
    assert found.low[0] == pytest.approx(0.3)


def test_units_whose_candidate_is_silent_are_zero() -> None:
    random = np.random.default_rng(0)
    kernel, inside, bias = (random.normal(size=shape) for shape in ((3, 16), (4, 16), (16,)))
    for part in (kernel, inside, bias):
        part[..., 8 + 2] = 0.0
    layer = Layer(
        name="l", kind="LSTM", config={"units": 4, "activation": "tanh"}, weights=(kernel, inside, bias)
    )
    low, high = recurrent(layer)
    assert (low == high).tolist() == [False, False, True, False]
    assert not (
        recurrent(
            Layer(name="l", kind="LSTM", config={"units": 4, "activation": "sigmoid"}, weights=layer.weights)
        )[0]
        == 0
    ).any()


@settings(max_examples=40)
@given(st.integers(0, 2**16), st.sampled_from(["relu", "relu6", "sigmoid", "tanh", "elu", "softplus"]))
def test_no_value_lies_outside(seed: int, activation: str) -> None:
    random = np.random.default_rng(seed)
    net = Sketch((None, 5), seed=seed)
    one = net.dense("one", net.image, 6, activation=activation)
    two = net.dense("two", one, 6, activation="relu")
    net.call("Multiply", "gated", [one, two], (None, 6))
    found = after(net, "gated")
    functions = {
        "relu": lambda x: np.maximum(x, 0),
        "relu6": lambda x: np.clip(x, 0, 6),
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "tanh": np.tanh,
        "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        "softplus": lambda x: np.logaddexp(0, x),
    }
    x = random.normal(size=(200, 5)) * 10
    first = functions[activation](x @ net.layers["one"].weights[0].astype(np.float64))
    second = np.maximum(first @ net.layers["two"].weights[0].astype(np.float64), 0)
    values = first * second
    assert (values >= found.low - 1e-9).all() and (values <= found.high + 1e-9).all()
