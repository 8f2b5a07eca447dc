"""TensorFlow Lite Micro's interpreter here: its answers, its arena, its refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from edgepack import errors, runtime, tflite
from edgepack.runtime import availability
from edgepack.tflite import lut
from edgepack.tflite.arena import arena
from tests.tflite.handmade_tflite import Handmade, dense

pytestmark = pytest.mark.skipif(
    runtime.available()["tflite-micro"] is None, reason="tflite-micro is not installed"
)


def _inputs(count: int, *shape: int) -> npt.NDArray[np.int8]:
    return np.random.default_rng(0).integers(-128, 128, (count, *shape)).astype(np.int8)


def _network() -> bytes:
    random = np.random.default_rng(1)
    return dense(random.choice(np.linspace(-1, 1, 16), (96, 64)).astype(np.float32))


def test_its_answers_are_those_of_the_reference_kernels(tmp_path: Path) -> None:
    """But for one step in about one of a thousand: its FULLY_CONNECTED rounds products otherwise."""
    model = tmp_path / "m.tflite"
    model.write_bytes(_network())
    found = runtime.run_micro(model, [_inputs(64, 1, 96)]).outputs[0].astype(int)
    wanted = runtime.run_golden(model, {"x": _inputs(64, 1, 96)[:, 0]})["y"].astype(int)
    assert np.abs(found - wanted).max() <= 1
    assert (found != wanted).mean() < 0.005


@pytest.mark.parametrize("name", ["kws_dscnn/kws_ref_model", "ic_resnet8/pretrainedResnet_quant"])
def test_convolutions_answer_bit_for_bit(shared_models: Path, name: str) -> None:
    path = shared_models / f"{name}.tflite"
    (spec,), (answer,) = tflite.interface(tflite.read(path))
    inputs = _inputs(8, 1, *(size or 1 for size in spec.shape[1:]))
    found = runtime.run_micro(path, [inputs]).outputs[0]
    np.testing.assert_array_equal(found, runtime.run_golden(path, {spec.name: inputs[:, 0]})[answer.name])


def test_tables_change_no_bit_and_cost_the_ram_of_the_weights(tmp_path: Path) -> None:
    plain, tables = tmp_path / "plain.tflite", tmp_path / "lut.tflite"
    plain.write_bytes(_network())
    tables.write_bytes(lut.encoded(_network()).data)
    before, after = (runtime.run_micro(path, [_inputs(8, 1, 96)]) for path in (plain, tables))
    np.testing.assert_array_equal(before.outputs[0], after.outputs[0])
    assert tables.stat().st_size < 0.8 * plain.stat().st_size
    assert after.arena.head_bytes - before.arena.head_bytes == 96 * 64


@pytest.mark.parametrize(
    "name", ["kws_dscnn/kws_ref_model", "ic_resnet8/pretrainedResnet_quant", "reference_tflite/person_detect"]
)
def test_the_planned_arena_is_the_recorded_one(shared_models: Path, name: str) -> None:
    path = shared_models / f"{name}.tflite"
    recorded = runtime.run_micro(path, []).arena
    assert recorded.total_bytes == recorded.head_bytes + recorded.tail_bytes
    planned = arena(tflite.read(path))
    assert planned.activation_bytes == recorded.head_bytes
    assert planned.persistent_bytes <= recorded.tail_bytes  # pointers have 64 bits here
    assert sum(recorded.records.values()) <= recorded.tail_bytes


def test_an_operator_without_a_kernel_is_named(tmp_path: Path) -> None:
    made = Handmade()
    source, target = made.tensor("x", (1, 8), scale=0.1), made.tensor("y", (1, 8), scale=0.1)
    made.op("RELU_N1_TO_1", [source], [target])
    model = tmp_path / "m.tflite"
    model.write_bytes(made.to_bytes([source], [target]))
    with pytest.raises(errors.ModelError, match=r"m\.tflite: tflite-micro cannot load it: .*RELU_N1_TO_1"):
        runtime.run_micro(model, [])


def test_inputs_of_another_kind_are_refused(tmp_path: Path) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes(_network())
    with pytest.raises(errors.ModelError, match="input 0 takes int8 of shape"):
        runtime.run_micro(model, [_inputs(2, 1, 95)])
    with pytest.raises(errors.ModelError, match="the samples are float32"):
        runtime.run_micro(model, [_inputs(2, 1, 96).astype(np.float32)])


def test_another_file_than_expected_is_not_loaded(tmp_path: Path) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes(_network())
    with pytest.raises(errors.ModelError, match="SHA-256"):
        runtime.run_micro(model, [], sha256="0" * 64)


def test_without_it_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(availability.DISTRIBUTIONS, "tflite-micro", "no-such-distribution")
    with pytest.raises(errors.MissingDependencyError, match=r'pip install "edgepack\[micro\]"') as caught:
        runtime.run_micro(tmp_path / "m.tflite", [])
    assert caught.value.exit_code == 69
