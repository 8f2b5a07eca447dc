"""Kernels, channels and consumers, as planner and checks read them."""

from __future__ import annotations

import numpy as np
import pytest

from edgepack.gate import Call, Graph, Layer, Ref, layer_facts
from edgepack.gate.facts import kernels


def weighted(kind: str, *shapes: tuple[int, ...], **config: object) -> Layer:
    return Layer(name="l", kind=kind, config=dict(config), weights=tuple(np.zeros(shape) for shape in shapes))


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (weighted("Dense", (4, 3), (3,)), {"kernel": 3}),
        (weighted("Conv2D", (3, 3, 2, 5), (5,)), {"kernel": 5}),
        (weighted("Conv2DTranspose", (3, 3, 7, 2), (7,)), {"kernel": 7}),
        (weighted("DepthwiseConv2D", (3, 3, 4, 2), (8,)), {"depthwise": 8}),
        (weighted("SeparableConv1D", (3, 4, 2), (1, 8, 5)), {"depthwise": 8, "pointwise": 5}),
        (weighted("Embedding", (10, 4)), {"embedding": 1}),
        (weighted("LSTM", (4, 8), (2, 8), (8,)), {"kernel": 8, "recurrent": 8}),
        (weighted("BatchNormalization", (3,), (3,), (3,), (3,)), {}),
    ],
)
def test_channels_of_each_kernel(layer: Layer, expected: dict[str, int]) -> None:
    assert {kernel.role: len(kernel.by_channel()) for kernel in kernels(layer)} == expected


def test_facts_of_a_shared_layer() -> None:
    source = Layer(name="x", kind="InputLayer", config={"batch_input_shape": [None, 4], "dtype": "float32"})
    shared = Layer(name="shared", kind="Dense", config={"units": 4}, weights=(np.ones((4, 4)), np.ones(4)))
    add = Layer(name="add", kind="Add", config={})
    graph = Graph(
        name="m",
        generation="keras3",
        layers={"x": source, "shared": shared, "add": add},
        calls=(
            Call(layer="x", kwargs={}),
            Call(layer="shared", args=(Ref(0),), kwargs={}),
            Call(layer="shared", args=(Ref(1),), kwargs={}),
            Call(layer="add", args=([Ref(1), Ref(2)],), kwargs={}),
        ),
        inputs=(("x", Ref(0)),),
        outputs=(("add", Ref(3)),),
    )
    (facts,) = layer_facts(graph)
    assert (facts.shared, facts.parameters, facts.feeds) == (2, 20, ("shared", "add"))
    assert list(graph.consumers(1)) == [2, 3]
