"""``edgepack slim`` and ``edgepack shrink --exact`` on anyone's file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tflite.handmade_network import Network

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    net = Network((1, 6, 6, 3))
    x = net.conv(net.input, 8, dead=(1, 2), bias=-0.8)
    x = net.conv(x, 6, dead=(3,), bias=0.8)
    path = tmp_path / "theirs.tflite"
    path.write_bytes(net.to_bytes(net.conv(x, 4)))
    return path


def test_slim(model: Path, edgepack: Run, tmp_path: Path) -> None:
    out = tmp_path / "small.tflite"
    answer = edgepack("slim", model, "--out", out)
    assert answer.returncode == 0, answer.stderr
    assert "quantization" in answer.stdout and "same bits" in answer.stdout
    assert out.stat().st_size < model.stat().st_size
    told = json.loads(edgepack("slim", out, "--out", tmp_path / "again.tflite", "--json").stdout)
    assert told["schema"] == "edgepack.slim/1" and not told["changed"]
    assert told["reason"] == "there is nothing to save"
    assert told["file_bytes"] == {"before": out.stat().st_size, "after": out.stat().st_size}
    assert (tmp_path / "again.tflite").read_bytes() == out.read_bytes()


def test_shrink(model: Path, edgepack: Run, tmp_path: Path) -> None:
    out = tmp_path / "cut.tflite"
    told = json.loads(edgepack("shrink", model, "--exact", "--out", out, "--json").stdout)
    assert told["schema"] == "edgepack.shrink/1" and told["changed"]
    assert told["macs"]["after"] < told["macs"]["before"]
    assert [layer["removed"] for layer in told["layers"]] == [2, 0, 0]
    assert list(told["layers"][1]["kept"].values()) == [1]
    answer = edgepack("shrink", out, "--exact", "--out", tmp_path / "again.tflite")
    assert answer.returncode == 0
    assert "kept as it is" in answer.stdout and "border" in answer.stdout
    assert (tmp_path / "again.tflite").read_bytes() == out.read_bytes()


def test_shrink_wants_the_word_exact(model: Path, edgepack: Run, tmp_path: Path) -> None:
    answer = edgepack("shrink", model, "--out", tmp_path / "cut.tflite")
    assert answer.returncode == 2 and "--exact" in answer.stderr and "recipe" in answer.stderr


@pytest.mark.parametrize("command", [("slim",), ("shrink", "--exact")])
def test_damaged_and_foreign_files(
    command: tuple[str, ...], model: Path, edgepack: Run, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.tflite"
    damaged.write_bytes(model.read_bytes()[:700])
    out = tmp_path / "out.tflite"
    answer = edgepack(*command, damaged, "--out", out)
    assert answer.returncode == 65 and "damaged.tflite" in answer.stderr and "Traceback" not in answer.stderr
    keras = tmp_path / "model.h5"
    keras.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(64))
    answer = edgepack(*command, keras, "--out", out)
    assert answer.returncode == 65 and "is no .tflite" in answer.stderr
    assert edgepack(*command, tmp_path / "missing.tflite", "--out", out).returncode == 65
    assert not out.exists()
    assert edgepack(*command, model, "--out", tmp_path / "no" / "folder.tflite").returncode == 74
