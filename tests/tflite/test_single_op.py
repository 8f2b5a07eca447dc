"""Single-op models made by hand: sound files, run by LiteRT, counted as what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack import tflite
from edgepack.tflite import single_op
from edgepack.tflite.work import works

CASES = {
    "convolution": (single_op.convolution(8, 3, 16, kernel=3, stride=2), 16 * 9 * 3 * 16),
    "pointwise": (single_op.convolution(6, 8, 16, kernel=1), 36 * 8 * 16),
    "depthwise": (single_op.depthwise(6, 16, kernel=3), 36 * 9 * 16),
    "dense": (single_op.dense(64, 32), 64 * 32),
    "elementwise": (single_op.add(4, 8), 0),
    "pool": (single_op.average_pool(8, 4, window=2), 0),
    "softmax": (single_op.softmax(10), 0),
}


@pytest.mark.parametrize("kind", sorted(CASES))
def test_it_is_one_sound_op_of_its_kind(kind: str, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    data, macs = CASES[kind]
    path = tmp_path / "op.tflite"
    path.write_bytes(data)
    (work,) = works(tflite.read(path))
    assert (work.kind, work.positions * work.weights) == (kind, macs)
    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.full(detail["shape"], 100, np.int8))
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    assert result.dtype == np.int8
    assert work.positions * work.outputs == result.size


def test_the_same_file_every_time() -> None:
    assert single_op.dense(64, 32) == CASES["dense"][0]
