"""Two models in one child: the same bits or not, and as many delegated nodes or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors, runtime
from edgepack.tflite.schema import unpacked
from edgepack.tflite.writing import written
from tests.handmade import difference, doubled_ids
from tests.tflite.handmade_network import Network

SAMPLES: dict[Any, int] = {"default": 2, "reference": 2}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    net = Network((1, 6, 6, 3))
    path = tmp_path / "original.tflite"
    path.write_bytes(net.to_bytes(net.dense(net.mean(net.conv(net.conv(net.input, 4), 4)), 3)))
    return path


def changed(path: Path, edit: Any) -> Path:
    made = unpacked(path.read_bytes())
    edit(made)
    other = path.with_name("rewritten.tflite")
    other.write_bytes(written(made, 10_000))
    return other


def test_the_same_model_is_the_same(model: Path) -> None:
    found = runtime.compared(model, changed(model, lambda made: None), SAMPLES)
    assert found.same and found.delegated[0] == found.delegated[1] >= 3


def test_one_weight_makes_it_another(model: Path) -> None:
    def nudge(made: Any) -> None:
        kernel = made.buffers[made.subgraphs[0].tensors[made.subgraphs[0].operators[-1].inputs[1]].buffer]
        kernel.data = kernel.data ^ np.uint8(64)

    found = runtime.compared(model, changed(model, nudge), SAMPLES)
    assert not found.same and "output 'fully_connected_3' differs" in found.difference


def test_fewer_delegated_nodes_make_it_another(model: Path) -> None:
    def plain_biases(made: Any) -> None:
        graph = made.subgraphs[0]
        for op in graph.operators[:2]:
            graph.tensors[op.inputs[2]].quantization = None

    found = runtime.compared(model, changed(model, plain_biases), SAMPLES)
    assert "nodes would be delegated" in found.difference
    assert found.delegated[1] < found.delegated[0]


def test_a_rewritten_file_that_does_not_load_is_a_difference(model: Path) -> None:
    other = changed(
        model, lambda made: setattr(made.subgraphs[0], "operators", made.subgraphs[0].operators[1:])
    )
    assert not runtime.compared(model, other, SAMPLES).same


def test_what_the_runtime_refuses_cannot_be_compared(model: Path, tmp_path: Path) -> None:
    other = changed(
        model, lambda made: setattr(made.subgraphs[0].operators[0], "inputs", np.array([0], np.int32))
    )
    with pytest.raises(errors.ModelError, match="cannot load"):
        runtime.compared(other, model, SAMPLES)


def test_inputs_are_matched_by_name(tmp_path: Path) -> None:
    one = difference(tmp_path / "one.tflite")
    assert runtime.compared(one, difference(tmp_path / "same.tflite"), SAMPLES).same
    swapped = difference(tmp_path / "swapped.tflite", first="b", second="a")
    assert runtime.compared(one, swapped, SAMPLES).difference


def test_ids_are_fed(tmp_path: Path) -> None:
    one, other = doubled_ids(tmp_path / "one.tflite"), doubled_ids(tmp_path / "other.tflite")
    assert runtime.compared(one, other, SAMPLES) == runtime.Sameness(difference="", delegated=(0, 0))
