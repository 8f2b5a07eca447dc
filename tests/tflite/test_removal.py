"""Dead channels are found and cut, and the file answers the same bits afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import exact, tflite
from edgepack.tflite.dead_channels import BORDER, INEXACT, LAST, READ
from edgepack.tflite.precheck import parse
from edgepack.tflite.removal import without_dead_channels
from tests.tflite.handmade_network import GRID, Network

BELOW, ABOVE = -0.8, 0.8
"""A bias that RELU turns to zero, and one that stays."""


def widths(data: bytes) -> list[int]:
    """Channels that leave each weighted op."""
    main = parse(data).main
    kinds = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    return [main.tensors[op.outputs[0]].shape[-1] for op in main.ops if op.name in kinds]


def cut(data: bytes) -> exact.Shrunk:
    """Shrunk, with the proof that both files answer alike."""
    found = exact.shrunk(data)
    assert found.reason == ""
    assert len(found.data) < len(data)
    assert found.macs[1] < found.macs[0]
    return found


def kept(found: exact.Shrunk) -> dict[str, int]:
    return {reason: count for layer in found.layers for reason, count in layer.kept.items()}


def chain(integer: bool) -> bytes:
    net = Network((1, 8, 8, 3), integer=integer)
    x = net.conv(net.input, 8, dead=(1, 5), bias=BELOW)
    x = net.depthwise(x, stride=2)
    x = net.conv(x, 6, size=1, dead=(0,), bias=BELOW)
    return net.to_bytes(net.dense(net.flatten(net.pool(x)), 4))


@pytest.mark.parametrize("integer", [True, False])
def test_zeros_go_through_depthwise_pooling_and_flattening(integer: bool) -> None:
    data = chain(integer)
    # What depthwise makes of a zero is its bias: where that is above zero, floats cannot fold it exactly.
    found = cut(data)
    assert widths(data) == [8, 8, 6, 4]
    assert widths(found.data)[0] == widths(found.data)[1] <= 8 and widths(found.data)[2:] == [5, 4]
    if integer:
        assert widths(found.data) == [6, 6, 5, 4]


def test_a_constant_moves_into_the_bias_behind_it() -> None:
    net = Network((1, 6, 6, 3))
    x = net.conv(net.input, 8, dead=(2, 3), bias=ABOVE)
    data = net.to_bytes(net.conv(x, 4, same=False))
    found = cut(data)
    assert widths(found.data) == [6, 4]
    before, after = (_biases(each) for each in (data, found.data))
    assert before[1].shape == after[1].shape and (before[1] != after[1]).any()


def _biases(data: bytes) -> list[Any]:
    model = parse(data)
    return [model.value(model.main.tensors[op.inputs[2]]) for op in model.main.ops]


def test_at_a_border_only_the_zero_point_can_go() -> None:
    net = Network((1, 6, 6, 3))
    x = net.conv(net.input, 8, dead=(2,), bias=ABOVE)
    data = net.to_bytes(net.conv(net.conv(x, 5, dead=(1,), bias=BELOW), 4))
    found = cut(data)
    assert widths(found.data) == [8, 4, 4]
    assert kept(found) == {BORDER: 1}


def test_a_float_constant_other_than_zero_stays() -> None:
    net = Network((1, 6, 6, 3), integer=False)
    x = net.conv(net.input, 8, dead=(2,), bias=ABOVE)
    x = net.conv(x, 6, dead=(4, 5), bias=BELOW)
    found = cut(net.to_bytes(net.conv(x, 4)))
    assert widths(found.data) == [8, 4, 4]
    assert kept(found) == {INEXACT: 1}


def test_channels_that_nothing_reads_go_though_they_vary() -> None:
    net = Network((1, 6, 6, 3))
    x = net.depthwise(net.conv(net.input, 8))
    found = cut(net.to_bytes(net.conv(x, 4, mute=(0, 7))))
    assert widths(found.data) == [6, 6, 4]
    assert [(layer.constant, layer.removed) for layer in found.layers] == [(0, 2), (0, 2), (0, 0)]


def test_a_saturated_channel_is_a_constant_though_it_has_weights() -> None:
    net = Network((1, 6, 6, 3))
    x = net.conv(net.input, 8)
    graph = net.graph
    bias = graph.buffers[graph.tensors[graph.ops[-1].inputs[2]].buffer]
    codes = bias.data.view(np.int32).copy()
    codes[[1, 4]] = -(2**26)  # further below zero than 27 weights of 127 can lift it
    bias.data = codes.view(np.uint8)
    found = cut(net.to_bytes(net.conv(x, 4)))
    assert widths(found.data) == [6, 4]
    assert found.layers[0].constant == 2


def residual(dead: tuple[int, ...], other: tuple[int, ...]) -> bytes:
    net = Network((1, 6, 6, 3))
    x = net.conv(net.input, 8, dead=dead, bias=BELOW)
    y = net.conv(net.conv(x, 5), 8, activation="none", dead=other, bias=0.0)
    return net.to_bytes(net.dense(net.mean(net.add(x, y)), 3))


def test_a_residual_sum_loses_what_is_dead_on_both_sides() -> None:
    found = cut(residual((1, 2), (2, 6)))
    assert widths(found.data) == [7, 5, 7, 3]
    assert kept(found) == {READ: 1}


def test_where_only_one_side_is_dead_nothing_goes() -> None:
    data = residual((1,), (6,))
    found = exact.shrunk(data)
    assert found.data == data and "none of its 2 dead channels can go exactly" in found.reason


def test_a_concatenation_loses_channels_of_each_part() -> None:
    net = Network((1, 6, 6, 3))
    parts = [
        net.conv(net.input, 6, dead=(0,), bias=BELOW),
        net.conv(net.input, 4, size=1, dead=(1, 3), bias=BELOW),
    ]
    found = cut(net.to_bytes(net.conv(net.concat(*parts), 5)))
    assert widths(found.data) == [5, 2, 5]


def test_one_picture_read_by_many_depthwise_channels() -> None:
    net = Network((1, 8, 8, 1))
    x = net.depthwise(net.input, multiplier=6, dead=(0, 4), bias=BELOW)
    found = cut(net.to_bytes(net.conv(x, 3, size=1)))
    assert widths(found.data) == [4, 3]


def test_outputs_and_other_ops_pin_their_channels() -> None:
    net = Network((1, 6))
    x = net.dense(net.input, 6, activation="relu", dead=(0,), bias=BELOW)
    data = net.to_bytes(net.softmax(x))
    found = exact.shrunk(data)
    assert found.data == data and kept(found) == {"it goes through SOFTMAX": 1}
    net = Network((1, 6))
    data = net.to_bytes(net.dense(net.input, 6, activation="relu", dead=(0,), bias=BELOW))
    assert kept(exact.shrunk(data)) == {"it is the model's output": 1}


def test_a_layer_keeps_one_channel() -> None:
    net = Network((1, 6, 6, 3))
    x = net.conv(net.input, 4, dead=(0, 1, 2, 3), bias=BELOW)
    found = cut(net.to_bytes(net.dense(net.mean(x), 3)))
    assert widths(found.data) == [1, 3]
    assert kept(found) == {LAST: 1, "it is the model's output": 3}


def test_nothing_dead_is_told() -> None:
    net = Network((1, 6, 6, 3))
    data = net.to_bytes(net.conv(net.conv(net.input, 8, activation="none"), 4, activation="none"))
    found = exact.shrunk(data)
    assert found.data == data and not found.changed
    assert found.reason == "none of its 12 channels is dead"


def test_metadata_that_number_tensors_keep_everything_in_place() -> None:
    from ai_edge_litert import schema_py_generated as schema

    from edgepack.tflite.schema import unpacked
    from edgepack.tflite.writing import written

    model = unpacked(chain(True))
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"OfflineMemoryAllocation", 0
    model.metadata = [entry]
    data = written(model, 10_000)
    found = exact.shrunk(data)
    assert found.data == data and "numbers" in found.reason
    names = [tensor.shape for tensor in parse(data).main.tensors]
    slim = exact.slimmed(data)
    assert [tensor.shape for tensor in parse(slim.data).main.tensors] == names


def _random_network(seed: int, integer: bool) -> bytes:
    random = np.random.default_rng(seed)
    net = Network((1, 9, 9, int(random.integers(1, 5))), integer=integer, seed=seed)

    def dead(channels: int) -> dict[str, Any]:
        count = int(random.integers(0, channels))
        return {
            "dead": tuple(random.choice(channels, count, replace=False).tolist()),
            "bias": (None, BELOW, ABOVE, 0.0)[int(random.integers(4))],
        }

    def like(source: int) -> str:  # XNNPACK wants the parts of a concatenation on one grid
        return "relu6" if net.grids[source] == GRID["relu6"] else "relu"

    x = net.conv(net.input, 8, stride=int(random.integers(1, 3)), **dead(8))
    steps: list[Callable[[int], int]] = [
        lambda x: net.depthwise(x, stride=int(random.integers(1, 3)), **dead(net.shapes[x][-1])),
        lambda x: net.conv(x, 7, size=1, activation="relu6", **dead(7)),
        lambda x: net.add(x, net.conv(x, net.shapes[x][-1], activation="none", **dead(net.shapes[x][-1]))),
        lambda x: net.concat(x, net.conv(x, 4, activation=like(x), **dead(4))),
        lambda x: net.conv(
            x, 6, mute=tuple(random.choice(net.shapes[x][-1], 2, replace=False).tolist()), **dead(6)
        ),
    ]
    for _ in range(int(random.integers(2, 5))):
        x = steps[int(random.integers(len(steps)))](x)
    x = net.flatten(x) if random.integers(2) else net.mean(x)
    return net.to_bytes(net.dense(net.dense(x, 8, activation="relu", **dead(8)), 3))


@pytest.mark.parametrize("integer", [True, False])
def test_no_random_network_fails_its_proof(integer: bool) -> None:
    removed = 0
    for seed in range(2):
        found = exact.shrunk(_random_network(seed, integer))
        assert found.changed or "none of its" in found.reason, (seed, found.reason)
        removed += sum(layer.removed for layer in found.layers) if found.changed else 0
    assert removed > 5


@pytest.mark.slow
@pytest.mark.parametrize("integer", [True, False])
def test_no_random_network_of_many_fails_its_proof(integer: bool) -> None:
    for seed in range(100, 160):
        found = exact.shrunk(_random_network(seed, integer))
        assert found.changed or "none of its" in found.reason, (seed, found.reason)


def test_shrinking_twice_is_shrinking_once() -> None:
    once = without_dead_channels(chain(True))
    again = without_dead_channels(once.data)
    assert again.data == once.data and "dead" in again.reason


def test_int8_models_of_others(shared_models: Path) -> None:
    large = (shared_models / "ic_resnet8" / "pretrainedResnet_large_int8.tflite").read_bytes()
    found = cut(large)
    assert sum(layer.channels for layer in found.layers) == 850
    assert sum(layer.constant for layer in found.layers) == 31
    assert sum(layer.removed for layer in found.layers) == 25
    assert found.macs == (76_473_920, 72_388_544)


def test_a_file_that_today_s_runtimes_refuse_is_mended_and_cut(shared_models: Path) -> None:
    data = (shared_models / "reference_tflite" / "person_detect.tflite").read_bytes()
    found = cut(data)
    assert found.macs[0] > found.macs[1] and "put right" in found.notes[0]
    assert tflite.macs(parse(found.data)) == found.macs[1]
