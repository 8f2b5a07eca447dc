"""Laws over random graphs, computed by a few lines of numpy: what is dead goes, and nothing else changes."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.backend.cutting import cut, silence
from edgepack.backend.dead_channels import clean
from edgepack.gate.couplings import FIXED, Couplings
from edgepack.gate.graph import Graph, Ref
from tests.gate.handmade_graphs import Sketch

SIDE = 3


def random_net(random: np.random.Generator) -> Sketch:
    """Dense layers on a small map, normalized, added, joined, gated, flattened, with some channels dead."""
    net = Sketch((None, SIDE, 4), seed=int(random.integers(2**16)))
    open_ends = [net.image]
    for number in range(int(random.integers(3, 7))):
        given = open_ends[int(random.integers(len(open_ends)))]
        width = int(random.integers(2, 6))
        x = net.dense(
            f"dense{number}", given, width, activation=str(random.choice(["relu", "linear", "tanh"]))
        )
        kernel, bias = net.layers[f"dense{number}"].weights
        dead = random.random(width) < 0.4
        kernel[:, dead] = 0.0
        bias[dead] = random.choice([0.0, -0.5, 0.8], size=int(dead.sum()))
        if random.random() < 0.4:
            moments = [
                random.uniform(0.5, 2.0, width) * (random.random(width) < 0.7),
                *random.normal(size=(2, width)),
            ]
            weights = [*moments, random.uniform(0.5, 2.0, width)]
            x = net.call("BatchNormalization", f"norm{number}", [x], (None, SIDE, width), weights, axis=-1)
        like = [end for end in open_ends if net.shapes[end.call] == net.shapes[x.call]]
        if like and random.random() < 0.6:
            kind = str(random.choice(["Add", "Multiply", "Maximum"]))
            x = net.call(kind, f"join{number}", [like[-1], x], (None, SIDE, width))
        elif random.random() < 0.3:
            wide = net.shapes[given.call][0][-1] + width
            x = net.call("Concatenate", f"cat{number}", [given, x], (None, SIDE, wide), axis=-1)
        open_ends.append(x)
    last = net.shapes[open_ends[-1].call][0][-1]
    net.dense("head", net.call("Flatten", "flat", [open_ends[-1]], (None, SIDE * last)), 3)
    return net


def computed(graph: Graph, x: np.ndarray) -> tuple[np.ndarray, list[list[Any]]]:
    """The output of a graph and the shapes of all calls."""
    values: list[np.ndarray] = []
    for call in graph.calls:
        layer = graph.layers[call.layer]
        given = [values[ref.call] for ref in call.refs()]
        values.append(_computed(layer, given, x))
    shapes = [[(None, *value.shape[1:])] for value in values]
    return values[graph.outputs[0][1].call], shapes


def _computed(layer: Any, given: list[np.ndarray], x: np.ndarray) -> np.ndarray:
    if layer.kind == "InputLayer":
        return x
    if layer.kind == "Dense":
        y = given[0] @ layer.weights[0].astype(np.float64) + layer.weights[1]
        name = layer.config.get("activation", "linear")
        return np.maximum(y, 0.0) if name == "relu" else np.tanh(y) if name == "tanh" else y
    if layer.kind == "BatchNormalization":
        gamma, beta, mean, variance = layer.weights
        return gamma * (given[0] - mean) / np.sqrt(variance + 1e-3) + beta
    if layer.kind == "Concatenate":
        return np.concatenate(given, axis=-1)
    if layer.kind == "Flatten":
        return given[0].reshape(len(given[0]), -1)
    join = {"Add": np.add, "Multiply": np.multiply, "Maximum": np.maximum}[layer.kind]
    return np.asarray(join(*given))


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_dead_channels_go_and_no_output_changes(seed: int) -> None:
    random = np.random.default_rng(seed)
    graph, shapes = random_net(random).finished("head")
    x = random.normal(size=(5, SIDE, 4))
    wanted, _ = computed(graph, x)
    cleaned = clean(graph, shapes, {})
    found, after = computed(cleaned.graph, x)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    for name, count in cleaned.removed.items():
        assert cleaned.graph.layers[name].config["units"] == graph.layers[name].config["units"] - count
    again = clean(cleaned.graph, after, {})
    np.testing.assert_allclose(computed(again.graph, x)[0], wanted, atol=1e-5)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_any_cut_runs_with_the_planned_widths(seed: int) -> None:
    random = np.random.default_rng(seed)
    graph, shapes = random_net(random).finished("head")
    couplings = Couplings(graph, shapes)
    kept = {}
    for key, opened in couplings.opened.items():
        if (group := couplings.find(opened)) != FIXED:
            size = couplings.sizes[key]
            kept[group] = np.sort(random.permutation(size)[: int(random.integers(1, size + 1))])
    small = cut(graph, couplings, kept)
    for key, opened in couplings.opened.items():
        group = couplings.find(opened)
        assert small.layers[key].config["units"] == len(kept.get(group, range(couplings.sizes[key])))
    output, _ = computed(small, random.normal(size=(2, SIDE, 4)))
    assert output.shape == (2, 3)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_silenced_channels_are_zero_where_they_are_made(seed: int) -> None:
    random = np.random.default_rng(seed)
    graph, shapes = random_net(random).finished("head")
    couplings = Couplings(graph, shapes)
    groups = {couplings.find(opened): couplings.sizes[key] for key, opened in couplings.opened.items()}
    kept = {group: np.arange(max(1, size // 2)) for group, size in groups.items() if group != FIXED}
    quiet = silence(graph, couplings, kept)
    for key, opened in couplings.opened.items():
        group = couplings.find(opened)
        if group in kept:
            kernel, bias = quiet.layers[key].weights
            gone = np.setdiff1d(np.arange(couplings.sizes[key]), kept[group])
            assert not kernel[:, gone].any() and not bias[gone].any()
    assert isinstance(graph.outputs[0][1], Ref)
