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
SUBJECTS = ("resnet8", "dscnn", "digits")


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


def test_bench_tells_instructions(board: Machine, dscnn: Subject) -> None:
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "edgepack"),
            "bench",
            str(dscnn.model),
            "--device",
            BOARD,
            "--emulate",
        ],
        env={**os.environ, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "million instructions per inference" in done.stdout
    assert "reference kernels identical" in done.stdout
    assert "p50" not in done.stdout
