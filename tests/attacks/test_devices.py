"""Devices that answer what nobody expects: an error with its own name, never one of ours."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from edgepack import device, errors
from edgepack.benchmark import runner
from edgepack.cli.bench_devices import _lines
from edgepack.remote import measuring, probing
from edgepack.remote.firmware import checked, status_in
from edgepack.remote.here import Here
from edgepack.remote.job import Job, Ran, Settings
from edgepack.remote.kept import Kept
from edgepack.remote.measuring import Answer, measured
from edgepack.remote.subject import Subject, Wish
from edgepack.tflite import single_op
from tests.attacks.test_descriptions import VALUES, places

JOB = Job(files={"p.py": b""}, program="p.py", timeout_s=5.0)
GOOD = {"outcome": "exited", "code": 0, "last_words": "", "emulated_on": None}
REPORTS: dict[str, str] = {
    "nothing of what it needs": '{"outcome": "exited"}',
    "a code that is none": json.dumps({**GOOD, "code": "zero"}),
    "words that are a number": json.dumps({**GOOD, "last_words": 3}),
    "a signal that is a list": json.dumps({"outcome": "signal", "signal": [1], "out_of_memory": False}),
    "a disk of words": json.dumps({"outcome": "full", "free_bytes": "x"}),
    "no detail": '{"outcome": "unwritable"}',
    "unknown outcome": '{"outcome": "owned"}',
    "outcome a list": '{"outcome": []}',
    "nested deeply": '{"outcome": ' + "[" * 100_000 + "}",
    "a huge number": '{"outcome": "exited", "code": 1e999}',
    "no JSON": "{evil}",
}


@pytest.mark.parametrize("what", REPORTS)
def test_reports_of_a_keeper(what: str) -> None:
    line = f"edgepack-python 3.11\nedgepack-keeper {REPORTS[what]}\n"
    try:
        _, ran = Kept("pi", Settings()).run_by(["printf", "%s", line], JOB)
    except errors.EdgepackError as error:
        assert error.exit_code >= 80 and "pi" in str(error), error
    else:
        assert ran is None  # there is no report: the transport says why


def test_a_device_that_never_stops_talking() -> None:
    with pytest.raises(errors.DeviceProtocolError, match="more than"):
        Kept("pi", Settings()).run_by(["yes"], JOB)


@pytest.fixture(scope="module")
def status() -> dict[str, Any]:
    """What the runner really says."""
    subject = Subject(name="dense", model=single_op.dense(8, 4))
    job = measuring.job_of(device.load("rpi4"), [subject], Wish(seconds=0.05))
    found = runner.parse_status(
        Here(name="rpi4", settings=Settings(python=sys.executable)).run(job).output, device="here"
    )
    assert found is not None
    return found


def heard_of(status: Mapping[str, Any], sha256: list[str]) -> None:
    ran = Ran(code=0, output=runner.PREFIX + json.dumps(status) + "\n", python="3.11")
    _lines(Answer(device="pi", where="pi", result=measured(ran, "pi", sha256)))


def test_anything_anywhere_in_a_status(status: dict[str, Any]) -> None:
    """Every value of what a runner said, with fewer single runs than it timed."""
    sound = copy.deepcopy(status)
    sound["results"][0]["windows_ns"] = [[1000, 1100]] * 4
    heard_of(sound, status["sha256"])
    refused = tried = 0
    for number, place in enumerate(places(sound)):
        for value in VALUES[number % 4 :: 4]:
            hostile = copy.deepcopy(sound)
            inner: Any = hostile
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            tried += 1
            try:
                heard_of(hostile, status["sha256"])
            except errors.EdgepackError as error:
                assert type(error) is not errors.EdgepackError, (place, value, error)
                refused += 1
    assert tried > 60 and refused > 0.3 * tried


def test_another_model_than_was_sent(status: dict[str, Any]) -> None:
    with pytest.raises(errors.DeviceProtocolError, match="other models"):
        heard_of(status, ["0" * 64])


class Says:
    """A way to a device that always says the same."""

    where = "pi"

    def __init__(self, output: str) -> None:
        self.output = output

    def run(self, job: Job) -> Ran:
        return Ran(code=0, output=self.output, python="3.11")


FACTS: dict[str, Any] = {
    "machine": "aarch64", "cpu": "Cortex-A72", "cores": 4, "clock_mhz": 1500, "features": ["asimd"],
    "memory_bytes": 1 << 32, "system": "Linux", "python": "3.11.2", "python_path": "/usr/bin/python3",
    "runtimes": {"numpy": "1.26", "ai-edge-litert": "2.3.0"},
}  # fmt: skip


def test_facts_of_a_device() -> None:
    for key in FACTS:
        for value in VALUES:
            line = "edgepack-facts " + json.dumps({**FACTS, key: value})
            try:
                facts, _ = probing._facts(Says(line))
                probing.profile_text(
                    device.load("rpi4"), "mine", facts, "litert", kind="rpi4", has_table=False
                )
            except errors.EdgepackError as error:
                assert isinstance(error, errors.DeviceProtocolError), (key, value, error)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "3", '{"status": 1e999}', "\xff"])
def test_lines_of_a_firmware(text: str) -> None:
    told = status_in(f"{runner.PREFIX}{text}")
    if told is not None:
        with pytest.raises(errors.EdgepackError, match="board"):
            checked(told, "board", sha256="0" * 64)
