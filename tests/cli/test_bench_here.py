"""``edgepack bench`` beside the clock: profile, energy, delegates, recorded results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def model(shared_models: Path) -> Path:
    return shared_models / "kws_dscnn" / "kws_ref_model.tflite"


def test_profile_and_energy(model: Path, tmp_path: Path, edgepack: Run) -> None:
    meter = ("--energy-command", "echo 2.5 W", "--grams-co2-per-kwh", "380")
    answer = edgepack("bench", model, "--seconds", "2.5", "--profile", *meter, "--json")
    assert answer.returncode == 0, answer.stderr
    document = json.loads(answer.stdout)
    assert (
        document["energy"]["watts"] == pytest.approx(2.5) and document["energy"]["grams_co2_per_million"] > 0
    )
    assert document["profile"]["predicted"] is True and len(document["profile"]["ops"]) == 12
    answer = edgepack("bench", model, "--seconds", "2.5", "--profile", *meter)
    assert answer.returncode == 0, answer.stderr
    text = answer.stdout
    assert "predicted from the table 'x86-64', because the interpreter gives no times of single ops" in text
    assert "mJ an inference" in text and "at 380 g/kWh" in text


def test_a_recorded_result(model: Path, tmp_path: Path, edgepack: Run) -> None:
    answer = edgepack("bench", model, "--seconds", "0.2", "--json")
    (tmp_path / "then.json").write_text(answer.stdout)
    text = edgepack("bench", model, "--seconds", "0.2", "--against", "then.json").stdout
    assert "the same model" in text and "not in turns: no interval" in text
    (tmp_path / "else.json").write_text(
        answer.stdout.replace('"x86_64"', '"aarch64"').replace("litert", "tflm")
    )
    refused = edgepack("bench", model, "--against", "else.json")
    assert refused.returncode == 65 and "was measured in another environment" in refused.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--delegate", "absent.so"), 69, "cannot be used"),
        (("--energy-file", "absent"), 69, "cannot be read"),
        (("--energy-command", "echo many"), 65, "expected a number with one of the units"),
        (("--against", "absent.json"), 74, "No such file"),
        (("--delegate-option", "a=b"), 2, "goes with --delegate"),
        (("--delegate", "a.so", "--delegate-option", "a"), 2, "KEY=VALUE"),
        (("--grams-co2-per-kwh", "3"), 2, "goes with --energy-file"),
        (("--energy-file", "a", "--energy-command", "b"), 2, "one meter"),
        (("--profile", "--device", "rpi4", "--emulate"), 2, "measure this machine, not devices"),
        (("--profile", "--against", "other.tflite"), 2, "take one model"),
    ],
)
def test_what_cannot_be_done_is_told(
    words: tuple[str, ...], code: int, message: str, model: Path, edgepack: Run
) -> None:
    answer = edgepack("bench", model, "--seconds", "0.1", *words)
    assert answer.returncode == code and message in answer.stderr and "Traceback" not in answer.stderr
