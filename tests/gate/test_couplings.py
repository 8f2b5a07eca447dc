"""Which channels hang together, and why others stay."""

from __future__ import annotations

from typing import Any

from edgepack.gate.channel_costs import Work, total, work
from edgepack.gate.couplings import FIXED, CallShapes, Couplings
from edgepack.gate.graph import Call, Graph, Layer, Ref
from edgepack.gate.readers import readers
from tests.gate.handmade_graphs import Sketch


def same(couplings: Couplings, *layers: str) -> bool:
    return len({couplings.find(couplings.opened[layer]) for layer in layers}) == 1


def residual() -> Sketch:
    """stem → [inside → branch] + stem → head."""
    net = Sketch((None, 8, 8, 3))
    stem = net.conv("stem", net.image, 8)
    inside = net.conv("inside", stem, 6)
    branch = net.conv("branch", inside, 8)
    added = net.call("Add", "add", [stem, branch], (None, 8, 8, 8))
    pooled = net.call("GlobalAveragePooling2D", "pool", [added], (None, 8))
    net.dense("head", pooled, 4)
    return net


def test_what_is_added_is_tied_and_the_output_is_fixed() -> None:
    net = residual()
    couplings = Couplings(*net.finished("head"))
    assert same(couplings, "stem", "branch") and not same(couplings, "stem", "inside")
    assert couplings.find(couplings.opened["head"]) == FIXED
    assert couplings.reason(couplings.opened["head"]) == 'is the output "head" of the model'
    assert couplings.reason(couplings.opened["inside"]) == ""


def test_costs_follow_the_widths_of_both_sides() -> None:
    graph, shapes = residual().finished("head")
    couplings = Couplings(graph, shapes)
    works = work(graph, couplings, shapes)
    stream, inside = (couplings.find(couplings.opened[name]) for name in ("stem", "inside"))
    whole = total(works, Work.macs, {stream: 8, inside: 6})
    assert whole == 64 * 9 * (3 * 8 + 8 * 6 + 6 * 8) + 8 * 4
    assert total(works, Work.macs, {stream: 4, inside: 3}) == 64 * 9 * (3 * 4 + 4 * 3 + 3 * 4) + 4 * 4


def test_readers_find_every_place_behind_flatten_and_concatenation() -> None:
    net = Sketch((None, 2, 2, 3))
    left, right = net.conv("left", net.image, 2), net.conv("right", net.image, 3)
    joined = net.call("Concatenate", "joined", [left, right], (None, 2, 2, 5), axis=-1)
    flat = net.call("Flatten", "flat", [joined], (None, 20))
    net.dense("head", flat, 4)
    graph, shapes = net.finished("head")
    couplings = Couplings(graph, shapes)
    (reader,) = readers(graph, couplings)
    places = {
        name: reader.places[couplings.find(couplings.opened[name])].tolist() for name in ("left", "right")
    }
    assert places["left"] == [[0, 5, 10, 15], [1, 6, 11, 16]]
    assert places["right"][2] == [4, 9, 14, 19]


def test_depthwise_and_normalization_pass_channels_on() -> None:
    net = Sketch((None, 4, 4, 3))
    x = net.conv("conv", net.image, 4)
    x = net.call("BatchNormalization", "norm", [x], (None, 4, 4, 4), axis=-1)
    x = net.call("DepthwiseConv2D", "depthwise", [x], (None, 4, 4, 8), depth_multiplier=2, kernel_size=[3, 3])
    x = net.conv("point", x, 5)
    net.dense("head", net.call("GlobalMaxPooling2D", "pool", [x], (None, 5)), 2)
    graph, shapes = net.finished("head")
    couplings = Couplings(graph, shapes)
    (first, _) = readers(graph, couplings)
    assert first.layer == "point"
    assert first.places[couplings.find(couplings.opened["conv"])].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


def reason_after(kind: str, shape: tuple[Any, ...], **config: Any) -> str:
    """Why the channels of a convolution stay when a layer of this kind follows."""
    net = Sketch((None, 4, 4, 3))
    x = net.call(kind, "odd", [net.conv("conv", net.image, 8)], shape, **config)
    net.dense("head", x, 2)
    couplings = Couplings(*net.finished("head"))
    return couplings.reason(couplings.opened["conv"])


def test_what_is_not_understood_freezes_its_channels_with_the_reason() -> None:
    assert "not known to keep channels apart" in reason_after("UnitNormalization", (None, 4, 4, 8))
    assert "softmax" in reason_after("Activation", (None, 4, 4, 8), activation="softmax")
    assert "cuts through the channels" in reason_after("Reshape", (None, 4, 8, 4), target_shape=[4, 8, 4])
    assert "not known" in reason_after("Permute", (None, 8, 4, 4), dims=[3, 1, 2])
    assert "in groups" in reason_after("Conv2D", (None, 4, 4, 8), filters=8, groups=2, kernel_size=[3, 3])
    assert reason_after("Reshape", (None, 16, 8), target_shape=[16, 8]) == ""
    assert reason_after("BatchNormalization", (None, 4, 4, 8), axis=3) == ""


def test_channels_added_to_an_input_stay() -> None:
    net = Sketch((None, 4, 4, 3))
    net.call("Add", "add", [net.image, net.conv("conv", net.image, 3)], (None, 4, 4, 3))
    x = net.conv("next", Ref(len(net.calls) - 1), 4)
    net.dense("head", net.call("Flatten", "flat", [x], (None, 64)), 2)
    couplings = Couplings(*net.finished("head"))
    assert couplings.find(couplings.opened["conv"]) == FIXED
    assert 'layer "add" joins it with channels that stay' in couplings.reason(couplings.opened["conv"])


def test_a_gate_of_one_by_one_is_tied_to_what_it_gates() -> None:
    net = Sketch((None, 4, 4, 3))
    x = net.conv("conv", net.image, 8)
    pooled = net.call("GlobalAveragePooling2D", "pool", [x], (None, 8))
    gate = net.call(
        "Reshape", "shape", [net.dense("gate", pooled, 8)], (None, 1, 1, 8), target_shape=[1, 1, 8]
    )
    gated = net.call("Multiply", "gated", [x, gate], (None, 4, 4, 8))
    net.dense("head", net.call("GlobalMaxPooling2D", "most", [gated], (None, 8)), 2)
    couplings = Couplings(*net.finished("head"))
    assert same(couplings, "conv", "gate")


def test_operations_by_name() -> None:
    layers = {
        "image": Layer(
            name="image", kind="InputLayer", config={"batch_input_shape": [None, 6], "dtype": "float32"}
        ),
        "wide": Layer(name="wide", kind="Dense", config={"units": 4}),
        "plus": Layer(name="plus", kind="Operation", config={"operation": "tf/math.add"}),
        "relu": Layer(name="relu", kind="Operation", config={"operation": "tf/nn.relu"}),
        "odd": Layer(name="odd", kind="Operation", config={"operation": "tf/math.cumsum"}),
        "head": Layer(name="head", kind="Dense", config={"units": 2}),
    }
    shapes: CallShapes = [[(None, 6)], [(None, 4)], [(None, 4)], [(None, 4)], [(None, 2)]]

    def reason(last: str) -> str:
        calls = [
            Call(layer="image", kwargs={}),
            Call(layer="wide", args=(Ref(0),), kwargs={}),
            Call(layer="plus", args=(Ref(1), 1.5), kwargs={}),
            Call(layer=last, args=(Ref(2),), kwargs={}),
            Call(layer="head", args=(Ref(3),), kwargs={}),
        ]
        graph = Graph(
            name="m", generation="keras2", layers=layers, calls=tuple(calls),
            inputs=(("image", Ref(0)),), outputs=(("head", Ref(4)),),
        )  # fmt: skip
        couplings = Couplings(graph, shapes)
        return couplings.reason(couplings.opened["wide"])

    assert reason("relu") == "" and "tf/math.cumsum" in reason("odd")
