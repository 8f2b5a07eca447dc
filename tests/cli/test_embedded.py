"""What `bench --runtime tflite-micro` and `inspect` say of microcontrollers and NPUs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgepack import runtime
from edgepack.tflite import lut
from tests.tflite.handmade_tflite import dense

Run = Callable[..., "subprocess.CompletedProcess[str]"]
NEEDS_MICRO = pytest.mark.skipif(
    runtime.available()["tflite-micro"] is None, reason="tflite-micro is not installed"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    kernel = np.random.default_rng(3).choice(np.linspace(-1, 1, 16), (256, 64)).astype(np.float32)
    path = tmp_path / "m.tflite"
    path.write_bytes(dense(kernel))
    return path


@pytest.fixture
def said(edgepack: Run) -> Callable[..., str]:
    """Runs the program and gives what it wrote, after a look at its exit code."""

    def ask(*words: str | Path, code: int = 0) -> str:
        answer = edgepack(*words)
        assert answer.returncode == code, answer.stderr
        return answer.stdout + answer.stderr

    return ask


@NEEDS_MICRO
def test_the_bench_tells_arena_operators_and_answers_but_no_times(
    model: Path, said: Callable[..., str]
) -> None:
    told = json.loads(said("bench", model, "--runtime", "tflite-micro", "--json"))
    assert told["schema"] == "edgepack.bench/1" and told["runtime"] == "tflite-micro"
    assert told["arena"]["total_bytes"] == told["arena"]["head_bytes"] + told["arena"]["tail_bytes"]
    assert told["resolver"] == ["AddFullyConnected"] and told["differences"]["y"] <= 1
    assert not [name for name in told if "ms" in name.split("_") or "latency" in name]
    text = said("bench", model, "--runtime", "tflite-micro")
    assert "(as planned)" in text and "no times" in text


@NEEDS_MICRO
def test_tables_are_told_to_run_in_tflite_micro_only(model: Path, said: Callable[..., str]) -> None:
    model.write_bytes(lut.encoded(model.read_bytes()).data)
    text = said("bench", model, "--runtime", "tflite-micro")
    assert "AddDecode" in text and "LiteRT cannot run this file" in text


def test_comparing_times_there_is_a_usage_error(model: Path, said: Callable[..., str]) -> None:
    assert "gives none" in said("bench", model, "--against", model, "--runtime", "tflite-micro", code=2)


def test_boards_are_not_asked_for_another_runtime(model: Path, said: Callable[..., str]) -> None:
    words = ("bench", model, "--runtime", "tflite-micro", "--device", "esp32s3")
    assert "boards are read with --device alone" in said(*words, code=2)


def test_inspect_tells_what_a_microcontroller_needs(model: Path, said: Callable[..., str]) -> None:
    told = json.loads(said("inspect", model, "--json"))["tflite_micro"]
    assert told["missing"] == [] and told["resolver"] == ["AddFullyConnected"]
    assert told["planned_arena"]["head_bytes"] == 256 + 64
    assert "all in tflite-micro; its arena: tensors 320 B as planned" in said("inspect", model)
