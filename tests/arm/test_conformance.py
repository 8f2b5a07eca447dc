"""An emulated Raspberry Pi 4 computes what this machine computes, at a cost that is counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from edgepack.benchmark.emulated import Emulated, measure_emulated
from edgepack.emulation import Machine
from tests.arm.subjects import BOARD, Subject

pytestmark = pytest.mark.arm
ROOT = Path(__file__).resolve().parents[2]
SUBJECTS = ("resnet8", "dscnn")


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in SUBJECTS]
)
def emulated(request: pytest.FixtureRequest, board: Machine) -> Emulated:
    subject: Subject = request.getfixturevalue(request.param)
    return measure_emulated(subject.model, board.device, inputs=subject.inputs)


def test_reference_kernels_give_the_same_bytes(emulated: Emulated) -> None:
    assert emulated.samples >= 50
    for output in emulated.outputs:
        assert output.integer and output.identical and output.reference_difference == 0


def test_fast_kernels_are_within_two_steps_and_agree(emulated: Emulated) -> None:
    for output in emulated.outputs:
        assert output.default_difference <= 2
        assert output.argmax_agreement is not None and output.argmax_agreement >= 0.995


def test_instruction_counts_repeat(emulated: Emulated) -> None:
    counted = emulated.instructions
    assert (counted.few, counted.many) == (10, 210) and len(counted.repeats) == 2
    assert counted.spread <= 0.02
    assert counted.per_inference > 10_000


def test_no_time_is_told(emulated: Emulated) -> None:
    told = json.loads(json.dumps(emulated.to_json(), allow_nan=False))
    assert told["emulated"] is True and told["conforms"] is True
    assert not [key for key in told if "ms" in key.split("_") or "latency" in key or "seconds" in key]
    assert "milliseconds are not the board's" in told["warnings"][0]


@pytest.mark.xdist_group("digits")
def test_a_build_is_judged_on_the_board_and_bench_tells_instructions(board: Machine, tmp_path: Path) -> None:
    """The demo, which is always there: through every stage to a package for the board."""
    recipe = ROOT / "recipes" / "digits.toml"
    built = edgepack(tmp_path, "build", recipe, "--device", BOARD, "--emulate", "--no-bench", "--quiet")
    assert built.returncode == 0, built.stderr
    (told,) = json.loads((tmp_path / "dist" / "build.json").read_text())["packages"]
    emulated = told["emulated"]
    assert (
        emulated["conforms"] and emulated["samples"] == 50 and emulated["sha256"] == told["sha256"]["tflite"]
    )
    assert [output["identical"] for output in emulated["outputs"]] == [True]
    assert emulated["instructions"]["spread"] <= 0.02 and told["latency_ms"] is None
    (package,) = (tmp_path / "dist").glob("*.edgepack")
    done = edgepack(tmp_path, "bench", package, "--device", BOARD, "--emulate")
    assert done.returncode == 0, done.stderr
    assert "million instructions per inference" in done.stdout
    assert "reference kernels identical" in done.stdout and "p50" not in done.stdout


def edgepack(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).parent / "edgepack"), *map(str, words)],
        cwd=folder,
        env={**os.environ, "EDGEPACK_CACHE": str(folder / "store"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
