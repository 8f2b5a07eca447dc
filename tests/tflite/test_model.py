"""What the records say about tensors and constants."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgepack import tflite
from edgepack.tflite.precheck import parse
from tests.tflite.handmade_tflite import Handmade, dense


def test_constants_are_dequantized_per_channel() -> None:
    kernel = np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32)
    model = parse(dense(kernel))
    real = model.real(model.main.tensors[1])
    assert real is not None
    assert np.abs(real - kernel.T).max() <= np.abs(kernel).max() / 254 * 1.01


def test_int4_is_unpacked_low_nibble_first() -> None:
    graph = Handmade()
    weights = graph.tensor("w", (1, 3), "int4", scale=0.5, value=np.array([0x2F, 0x08], np.uint8))
    model = parse(graph.to_bytes([weights], [weights]))
    stored, real = model.value(model.main.tensors[0]), model.real(model.main.tensors[0])
    assert stored is not None and real is not None
    assert stored.tolist() == [[-1, 2, -8]]
    assert real.tolist() == [[-0.5, 1.0, -4.0]]


def test_names_come_from_the_signature(shared_models: Path) -> None:
    artifact = tflite.adopt(shared_models / "reference_tflite" / "trained_lstm_int8.tflite")
    assert [(spec.name, spec.shape, spec.dtype) for spec in artifact.inputs] == [
        ("fixed_input", (1, 28, 28), "int8")
    ]
    assert [(spec.dtype, spec.scale, spec.zero_point) for spec in artifact.outputs] == [
        ("int8", 1 / 256, -128)
    ]


def test_free_dimensions_are_none(shared_models: Path) -> None:
    artifact = tflite.adopt(shared_models / "ic_resnet8" / "pretrainedResnet.tflite")
    assert artifact.inputs[0].shape == (None, 32, 32, 3)
