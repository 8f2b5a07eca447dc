"""What is refused before training: operators, types and limits, each named with its device."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from edgepack import device, errors
from edgepack.device import Device
from edgepack.pipeline import attached, fitting
from edgepack.recipe import Recipe
from edgepack.records import Artifact
from edgepack.tflite import read, single_op


class Notes:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.reporter = self

    def note(self, level: str, text: str) -> None:
        self.said.append(text)


def artifact(tmp_path: Path, content: bytes) -> Artifact:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    return Artifact(path=path, sha256=hashlib.sha256(content).hexdigest(), inputs=(), outputs=())


def recipe(**tables: object) -> Recipe:
    return Recipe.model_validate(
        {
            "edgepack": 1,
            "name": "x",
            "version": "1",
            "model": {"path": "m.h5"},
            "data": {"calibration": {"path": "c.npz"}},
            **tables,
        }
    )


def board(name: str, **changed: object) -> Device:
    return device.load(name).model_copy(update=changed)


def refused(asked: Recipe, target: Device, content: bytes, tmp_path: Path) -> str:
    with pytest.raises(errors.DeviceError, match="refused before training") as caught:
        fitting.require_fitting(asked, [board("rpi4"), target], artifact(tmp_path, content), Notes())
    return str(caught.value)


def test_a_model_that_fits(tmp_path: Path) -> None:
    notes = Notes()
    devices = [board(name) for name in ("rpi4", "esp32s3", "rp2040", "ethos-u55-128")]
    fitting.require_fitting(recipe(), devices, artifact(tmp_path, single_op.dense(64, 10)), notes)
    assert notes.said == []


def test_float_on_a_microcontroller(tmp_path: Path) -> None:
    told = refused(
        recipe(quantize={"scheme": "float16"}), board("esp32s3"), single_op.dense(64, 10), tmp_path
    )
    assert 'esp32s3: [quantize] scheme = "float16" leaves float operators' in told and "rpi4:" not in told


def test_check_refuses_types(tmp_path: Path) -> None:
    from edgepack.pipeline.preflight import preflight
    from edgepack.recipe import load

    (tmp_path / "x.toml").write_text(
        'edgepack = 1\nname = "x"\nversion = "1.0.0"\n[model]\npath = "m.h5"\n[quantize]\nscheme = "float16"\n'
    )
    with pytest.raises(errors.DeviceError, match=r'esp32s3: \[quantize\] scheme = "float16"'):
        preflight(load(tmp_path / "x.toml"), ("rpi4", "esp32s3"))


def test_an_operator_without_a_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting.embedded, "unsupported", lambda model: ("GELU",))
    assert "esp32s3: operator GELU has no kernel in tflite-micro" in refused(
        recipe(), board("esp32s3"), single_op.dense(64, 10), tmp_path
    )


def test_a_type_without_a_kernel(tmp_path: Path) -> None:
    target = board("rpi5", pairs=("conv int8", "dense int8"))
    told = refused(recipe(quantize={"scheme": "int16x8"}), target, single_op.dense(64, 10), tmp_path)
    assert (
        'rpi5: operator FULLY_CONNECTED: its runtime has no int16x8 kernel for it (pairs has no "dense int16x8")'
        in told
    )


def test_memory(tmp_path: Path) -> None:
    told = refused(recipe(), board("rp2040"), single_op.convolution(96, 8, 32, kernel=3), tmp_path)
    assert "rp2040: RAM: the model needs 368,640 B, more than rp2040's budget_ram_bytes = 131,072" in told


def test_memory_that_a_stage_may_mend_is_a_note(tmp_path: Path) -> None:
    notes = Notes()
    asked = recipe(stage=[{"use": "shrink", "mode": "structured", "keep": 0.5}])
    model = artifact(tmp_path, single_op.convolution(96, 8, 32, kernel=3))
    fitting.require_fitting(asked, [board("rp2040")], model, notes)
    assert any("as imported, RAM" in text and "the stages must mend that" in text for text in notes.said)


def test_multiply_adds(tmp_path: Path) -> None:
    asked = recipe(budget={"max_macs": 1000})
    assert "max_macs = 1,000" in refused(asked, board("rpi4"), single_op.dense(64, 64), tmp_path)


def test_a_predicted_time_and_an_unknown_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting.device, "latency_model", lambda name, beside: None)
    monkeypatch.setattr(fitting, "predicted_us", lambda model, table: 2000.0)
    asked = recipe(budget={"max_latency_ms": 1.0})
    told = refused(asked, board("rpi5", latency_table="own"), single_op.dense(64, 64), tmp_path)
    assert "rpi5: latency: 2.00 ms are predicted by table own, more than max_latency_ms = 1" in told
    notes = Notes()
    fitting.require_fitting(asked, [board("rpi3")], artifact(tmp_path, single_op.dense(64, 64)), notes)
    assert any("max_latency_ms cannot be measured" in text and "rpi3@HOST" in text for text in notes.said)


def test_types_are_planned_as_they_will_be(tmp_path: Path) -> None:
    model = read(artifact(tmp_path, single_op.convolution(16, 8, 8, kernel=1)).path)
    tensors = tuple(replace(each, dtype="float32") for each in model.main.tensors)
    floats = replace(model, subgraphs=(replace(model.main, tensors=tensors),))
    bytes_of = {
        dtype: fitting.arena(fitting.stored_as(floats, dtype)).activation_bytes for dtype in ("int8", "int16")
    }
    assert bytes_of["int16"] == 2 * bytes_of["int8"] == fitting.arena(floats).activation_bytes / 2


def test_unknown_times_are_told(tmp_path: Path) -> None:
    found = attached.on_device(artifact(tmp_path, single_op.dense(8, 8)), board("rpi3"), recipe(), Notes())
    assert found.to_json()["how"] == "unverified" and "no rpi3 is attached" in found.told["reason"]
    assert found.complaints(recipe(budget={"max_latency_ms": 0.001}).budget, board("rpi3")) == []
    slow = attached.OnDevice(how="measured", ms=2.0, told={})
    (told,) = slow.complaints(recipe(budget={"max_latency_ms": 1.0}).budget, board("rpi3"))
    assert "2.000 ms measured for rpi3" in told


@pytest.mark.parametrize(
    ("found", "how", "ms"),
    [
        ({"latency_ms": {"p50": 2.5, "mean": 3.0}}, "measured", 2.5),
        ({"latency_ms": {"mean": 3.0}}, "measured", 3.0),
        ({"p50_us": 1500, "arena_bytes": 1}, "measured", 1.5),
        ({"emulated": True, "warnings": ["emulated on x86_64"]}, "unverified", None),
    ],
)
def test_an_attached_device(tmp_path: Path, monkeypatch, found: dict, how: str, ms: float | None) -> None:
    class Store(Notes):
        def produce(self, name, parts, make):
            self.record = make(tmp_path)
            return self

    monkeypatch.setattr(attached, "measure", lambda target, subjects, wish: ("rpi4 (ssh pi)", found))
    target = device.load("rpi4@pi")
    told = attached.on_device(artifact(tmp_path, single_op.dense(8, 8)), target, recipe(), Store()).to_json()
    assert (told["how"], told["ms"], told["where"]) == (how, ms, "rpi4 (ssh pi)")
    assert told["ms"] is not None or told["reason"]
