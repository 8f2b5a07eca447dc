"""What a device stores: tables where they pay and fit, the plain file else, always with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack import device, embedded, errors, runtime
from edgepack.device import Device
from edgepack.embedded import vela
from edgepack.runtime import availability
from edgepack.tflite import lut
from tests.tflite.handmade_tflite import Handmade, dense

NEEDS_MICRO = pytest.mark.skipif(
    runtime.available()["tflite-micro"] is None, reason="tflite-micro is not installed"
)
WEIGHTS = 256 * 64


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(1)
    path = tmp_path_factory.mktemp("model") / "m.tflite"
    path.write_bytes(dense(random.choice(np.linspace(-1, 1, 16), (256, 64)).astype(np.float32)))
    return path


def _board(**changes: object) -> Device:
    return device.load("cortex-m4-nrf52840").model_copy(update=changes)


@NEEDS_MICRO
def test_tables_where_they_are_asked_for(model: Path) -> None:
    found = embedded.compile_model(model, _board(), flash="lut")
    assert found.codec == "lut" and not found.complaints
    assert found.data == lut.encoded(model.read_bytes()).data
    assert found.flash_bytes == len(found.data) < 0.75 * model.stat().st_size
    assert found.operators == ("AddDecode", "AddFullyConnected")
    plain = embedded.compile_model(model, _board(), flash="plain")
    assert found.ram_bytes is not None and plain.ram_bytes is not None
    assert WEIGHTS <= found.ram_bytes - plain.ram_bytes < WEIGHTS + 2048
    assert f"(+{found.ram_bytes - plain.ram_bytes:,})" in found.notes[0]


@NEEDS_MICRO
def test_by_itself_only_where_the_profile_has_the_decoder(model: Path) -> None:
    assert embedded.compile_model(model, _board()).codec == "plain"
    assert embedded.compile_model(model, _board(decoders=("lut",))).codec == "lut"
    assert embedded.compile_model(model, None).codec == "plain"


@NEEDS_MICRO
def test_ram_that_the_device_lacks(model: Path) -> None:
    small = _board(budget_ram_bytes=WEIGHTS, decoders=("lut",))
    refused = embedded.compile_model(model, small, flash="lut")
    assert (
        "RAM: the model needs" in refused.complaints[0]
        and '[package] flash = "plain"' in refused.complaints[0]
    )
    kept = embedded.compile_model(model, small)
    assert kept.codec == "plain" and not kept.complaints
    assert "no tables: RAM" in kept.notes[0]
    tiny = embedded.compile_model(model, _board(budget_ram_bytes=64))
    assert "budget_ram_bytes = 64" in tiny.complaints[0]


def test_a_device_with_litert_keeps_the_file(model: Path) -> None:
    found = embedded.compile_model(model, device.load("rpi4"), flash="lut")
    assert (found.codec, found.flash_bytes) == ("plain", model.stat().st_size)
    assert "LiteRT has no decoder" in found.notes[0]


@NEEDS_MICRO
def test_nothing_to_gain_is_said(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(dense(np.random.default_rng(0).normal(size=(256, 64)).astype(np.float32)))
    found = embedded.compile_model(path, _board(), flash="lut")
    assert found.codec == "plain"
    assert "no kernel has so few values" in found.notes[0]


def test_an_operator_without_a_kernel_is_a_complaint(tmp_path: Path) -> None:
    made = Handmade()
    source, target = made.tensor("x", (1, 8), scale=0.1), made.tensor("y", (1, 8), scale=0.1)
    made.op("RELU_N1_TO_1", [source], [target])
    path = tmp_path / "m.tflite"
    path.write_bytes(made.to_bytes([source], [target]))
    found = embedded.compile_model(path, _board())
    assert found.complaints == ("operators: tflite-micro has no kernel for RELU_N1_TO_1",)
    assert found.operators == ()


def test_what_is_missing_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(availability.DISTRIBUTIONS, "tflite-micro", "no-such-distribution")
    monkeypatch.setattr(vela, "DISTRIBUTION", "no-such-distribution")
    npu, pi = device.load("ethos-u55-128"), device.load("rpi4")
    for devices, flash, missing in (
        ([_board()], "auto", None),
        ([_board()], "lut", "tflite-micro"),
        ([_board(decoders=("lut",))], "auto", "tflite-micro"),
        ([], "lut", "tflite-micro"),
        ([pi], "lut", None),
        ([pi, npu], "plain", "Vela"),
    ):
        if missing is None:
            embedded.require_tools(devices, flash)
            continue
        with pytest.raises(errors.MissingDependencyError, match=missing):
            embedded.require_tools(devices, flash)


@NEEDS_MICRO
def test_both_interpreters_are_compared(model: Path) -> None:
    """tflite-micro's FULLY_CONNECTED rounds about one product in a thousand one step otherwise."""
    found = embedded.examine(model)
    assert found.differences is not None and found.differences["y"] <= 1.0
    assert found.planned_head_bytes == found.arena.head_bytes
    assert found.to_json()["resolver"] == ["AddFullyConnected"]
