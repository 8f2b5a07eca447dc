"""Work and parameters of known models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack import tflite
from edgepack.tflite.precheck import parse
from tests.tflite.handmade_tflite import Handmade


@pytest.mark.parametrize(
    ("name", "macs", "parameters"),
    [
        ("ic_resnet8/pretrainedResnet.tflite", 12_501_632, 77_706),
        ("ic_resnet8/pretrainedResnet_quant.tflite", 12_501_632, 77_706),
        ("kws_dscnn/kws_ref_model.tflite", 2_656_768, 22_604),
        ("reference_tflite/person_detect.tflite", 7_157_888, 210_706),
        ("reference_tflite/hello_world_int8.tflite", 16 + 256 + 16, 321),
        # 28 steps of four gates: (28 inputs + 20 states) × 20 units, then 28·20 → 10.
        ("reference_tflite/trained_lstm_int8.tflite", 28 * 4 * 48 * 20 + 5600, 9_530),
    ],
)
def test_known_models(shared_models: Path, name: str, macs: int, parameters: int) -> None:
    model = tflite.read(shared_models / name)
    assert tflite.macs(model) == macs
    assert tflite.parameters(model) == parameters


def _op(name: str, *shapes: tuple[int, ...], output: tuple[int, ...]) -> int:
    graph = Handmade()
    inputs = [graph.tensor(f"t{number}", shape, "float32") for number, shape in enumerate(shapes)]
    result = graph.tensor("y", output, "float32")
    graph.op(name, inputs, [result])
    return tflite.macs(parse(graph.to_bytes(inputs[:1], [result])))


def test_rules_by_op() -> None:
    assert _op("CONV_2D", (1, 8, 8, 4), (6, 3, 3, 2), output=(1, 8, 8, 6)) == 8 * 8 * 6 * 9 * 2  # two groups
    assert _op("DEPTHWISE_CONV_2D", (1, 8, 8, 4), (1, 3, 3, 8), output=(1, 4, 4, 8)) == 4 * 4 * 8 * 9
    assert _op("TRANSPOSE_CONV", (4,), (5, 3, 3, 2), (1, 4, 4, 2), output=(1, 8, 8, 5)) == 4 * 4 * 2 * 5 * 9
    assert _op("BATCH_MATMUL", (2, 7, 5), (2, 5, 3), output=(2, 7, 3)) == 2 * 7 * 5 * 3
    assert _op("BATCH_MATMUL", (2, 5, 7), (2, 5, 3), output=(2, 7, 3)) == 2 * 7 * 5 * 3  # left one transposed
    assert _op("CONV_3D", (1, 4, 4, 4, 2), (3, 3, 3, 2, 6), output=(1, 4, 4, 4, 6)) == 64 * 6 * 27 * 2
    assert _op("ADD", (1, 8), (1, 8), output=(1, 8)) == 0


def test_a_shared_constant_counts_once() -> None:
    graph = Handmade()
    data = graph.tensor("x", (1, 3), "float32")
    weights = graph.tensor("w", (3, 3), "float32", value=np.ones((3, 3), np.float32))
    again = graph.tensor("w again", (3, 3), "float32")
    graph.tensors[again].buffer = graph.tensors[weights].buffer
    graph.op("FULLY_CONNECTED", [data, weights, -1], [data])
    graph.op("FULLY_CONNECTED", [data, again, -1], [data])
    assert tflite.parameters(parse(graph.to_bytes([data], [data]))) == 9
