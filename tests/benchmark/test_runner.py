"""The file that is sent to devices: alone in a folder it checks, measures, and tells every failure apart."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import vermin

from edgepack import errors
from edgepack.benchmark import runner
from edgepack.benchmark.runner import RunnerModel, RunnerRequest
from edgepack.bundle import make_golden
from edgepack.records import TensorSpec, file_sha256
from tests import handmade

TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is sent: the runner, a model, its golden vectors with their table."""
    folder = tmp_path_factory.mktemp("made")
    (folder / runner.RUNNER_FILE).write_bytes(runner.build_runner())
    model = handmade.quantizer(folder / "m.tflite", scale=0.1, zero_point=3)
    table, body = make_golden(model, (TensorSpec(name="x", shape=(None, 64), dtype="float32"),)).encode()
    (folder / "golden.bin").write_bytes(body)
    (folder / "table.json").write_text(json.dumps(table))
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """What lies on the device."""
    shutil.copytree(made, tmp_path / "device")
    return tmp_path / "device"


def _request(folder: Path, *, checked: bool = False, **other: Any) -> RunnerRequest:
    sent = RunnerModel(
        file="m.tflite",
        sha256=file_sha256(folder / "m.tflite"),
        golden=json.loads((folder / "table.json").read_text()) if checked else None,
        golden_file="golden.bin" if checked else None,
    )
    return RunnerRequest(**{"task": "time", "models": (sent,), "seconds": 0.1, **other})


def _ran(folder: Path, request: RunnerRequest, **environment: str) -> dict[str, Any]:
    """The last thing that the runner says; it finds no other edgepack than its own."""
    (folder / runner.REQUEST_FILE).write_bytes(runner.request_bytes(request))
    command = [sys.executable, "-W", "error", runner.RUNNER_FILE, runner.REQUEST_FILE]
    surroundings = {**os.environ, "PYTHONPATH": "", **environment}
    done = subprocess.run(
        command, cwd=folder, env=surroundings, capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert "Traceback" not in done.stderr, done.stderr
    told = [json.loads(line.removeprefix(runner.PREFIX)) for line in done.stdout.splitlines()]
    assert all(set(each) == {"progress"} for each in told[:-1])
    assert (done.returncode == 0) == (told[-1]["status"] == "ok")
    return told[-1]


def test_it_is_the_same_file_each_time() -> None:
    assert runner.build_runner() == runner.build_runner()


def test_checks_and_measures(folder: Path) -> None:
    status = _ran(folder, _request(folder, checked=True))
    assert status["golden"][0]["holds"]
    (measured,) = runner.measurements(status)
    assert measured.latency_ms.p50 > 0 and measured.sha256 == file_sha256(folder / "m.tflite")
    assert len(measured.circumstances.states) == 4 and measured.circumstances.runtime == "litert"


def test_two_in_turns_and_many_in_one_session(folder: Path) -> None:
    (model,) = _request(folder).models
    pair = _request(folder, task="time_pair", models=(model, model), seconds=0.3, rounds=3)
    status = _ran(folder, pair)
    assert runner.comparison(status).rounds == 3
    many = _request(folder, task="time_each", models=(model, model), seconds=0.02, rounds=2)
    status = _ran(folder, many)
    assert [len(each) for each in status["results"][0]["p10_ns"]] == [2, 2]


def _failure(folder: Path, request: RunnerRequest, **environment: str) -> dict[str, Any]:
    status = _ran(folder, request, **environment)
    assert status["status"] == "failed"
    return status


def test_a_damaged_file(folder: Path) -> None:
    request = _request(folder)
    with (folder / "m.tflite").open("ab") as file:
        file.write(b"x")
    error = _failure(folder, request)
    assert error["kind"] == "hash" and "damaged on its way" in error["message"]


def test_another_arithmetic(folder: Path) -> None:
    request = _request(folder, checked=True)
    body = bytearray((folder / "golden.bin").read_bytes())
    body[-1] ^= 0x40
    (folder / "golden.bin").write_bytes(body)
    error = _failure(folder, request)
    assert error["kind"] == "golden" and "does not compute the model" in error["message"]


def test_an_absent_runtime(folder: Path) -> None:
    error = _failure(folder, _request(folder, runtime="absent"))
    assert error["kind"] == "missing-runtime" and "absent" in error["message"]


def test_no_numpy(folder: Path) -> None:
    (folder / "numpy.py").write_text("raise ImportError('built for another processor')")
    error = _failure(folder, _request(folder), PYTHONPATH=str(folder))
    assert error["kind"] == "missing-runtime" and "another processor" in error["message"]


@pytest.mark.parametrize(("number", "name"), [(11, "SIGSEGV"), (9, "SIGKILL")])
def test_a_signal_is_told_with_its_number(folder: Path, number: int, name: str) -> None:
    (folder / "numpy.py").write_text(f"import os; os.kill(os.getpid(), {number})")
    error = _failure(folder, _request(folder), PYTHONPATH=str(folder))
    assert (error["kind"], error["signal"]) == ("signal", number) and name in error["message"]


def test_a_time_limit(folder: Path) -> None:
    (folder / "numpy.py").write_text("import time; time.sleep(60)")
    error = _failure(folder, _request(folder, timeout_s=0.5), PYTHONPATH=str(folder))
    assert error["kind"] == "timeout"


def test_a_memory_limit(folder: Path) -> None:
    (folder / "numpy.py").write_text("bytearray(1 << 40)")
    error = _failure(folder, _request(folder, memory_bytes=1 << 30), PYTHONPATH=str(folder))
    assert error["kind"] == "memory"


@pytest.mark.parametrize(("number", "kind"), [(28, "disk"), (12, "memory")])
def test_a_full_disk_and_a_full_memory(folder: Path, number: int, kind: str) -> None:
    program = f"def TemporaryFile():\n    raise OSError({number}, 'full')\n"
    (folder / "tempfile.py").write_text(program)
    status = _failure(folder, _request(folder), PYTHONPATH=str(folder))
    assert status["kind"] == kind and "full" in status["message"]


def test_a_lost_line_ends_it(folder: Path) -> None:
    """Whoever listened is gone: the runner ends, and with it what it started."""
    (folder / runner.REQUEST_FILE).write_bytes(runner.request_bytes(_request(folder, seconds=600.0)))
    started = folder / "started"
    (folder / "numpy.py").write_text(f"import time; open({str(started)!r}, 'w').close(); time.sleep(60)")
    command = [sys.executable, runner.RUNNER_FILE, runner.REQUEST_FILE]
    surroundings = {**os.environ, "PYTHONPATH": str(folder)}
    running = subprocess.Popen(command, cwd=folder, env=surroundings)
    deadline = time.monotonic() + TIMEOUT_S
    while not started.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    running.kill()
    running.wait(TIMEOUT_S)
    assert children
    while any(_alive(int(pid)) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_model_that_is_none(folder: Path) -> None:
    (folder / "m.tflite").write_bytes(b"TFL3 of sorts")
    model = RunnerModel(file="m.tflite", sha256=file_sha256(folder / "m.tflite"))
    error = _failure(folder, RunnerRequest(task="time", models=(model,)))
    assert error["kind"] == "model" and "cannot load it" in error["message"]


def test_an_absent_file(folder: Path) -> None:
    request = _request(folder)
    (folder / "m.tflite").unlink()
    assert _failure(folder, request)["kind"] == "disk"


@pytest.mark.parametrize(
    "wrong",
    [
        {"task": "dance"},
        {"models": ()},
        {"threads": 0},
        {"models": (RunnerModel(file="../m.tflite", sha256="0" * 64),)},
        {"task": "time_pair"},
    ],
)
def test_a_request_without_sense(folder: Path, wrong: dict[str, Any]) -> None:
    request = dataclasses.replace(_request(folder), **wrong)
    with pytest.raises(errors.BadInputError):
        runner.request_bytes(request)
    with pytest.raises(errors.BadInputError):
        RunnerRequest.from_json(json.loads(json.dumps(request.to_json())))


@pytest.mark.parametrize("kind", [*runner.FAILURES, "crash"])
def test_every_kind_of_failure_is_an_error_here(kind: str) -> None:
    told = json.dumps({"status": "failed", "kind": kind, "message": "why", "signal": 9})
    with pytest.raises(runner.FAILURES.get(kind, errors.ChildCrashError), match=r"^pi: why$") as raised:
        runner.parse_status(f"motd\n{runner.PREFIX}{told}\n", device="pi")
    assert getattr(raised.value, "signal", 9) == 9


def test_answers_of_others_are_passed_over() -> None:
    assert runner.parse_status("Welcome to the Pi!\nedgepack-runner {half a li", device="pi") is None
    said = 'motd\nedgepack-runner {"progress": 0.5}\nedgepack-runner {"status": "ok", "results": []}\nbye\n'
    assert runner.parse_status(said, device="pi") == {"status": "ok", "results": []}
    assert [runner.parse_progress(line) for line in said.splitlines()] == [None, 0.5, None, None]
    with pytest.raises(errors.DeviceProtocolError, match="another version"):
        runner.parse_status('edgepack-runner {"status": "ok"}', device="pi")


def test_old_pythons_are_told_so(tmp_path: Path) -> None:
    """Whatever runs the first file must be able to read it: syntax of Python 2.7, the check before all else."""
    members = zipfile.ZipFile(io.BytesIO(runner.build_runner()))
    start = members.read("__main__.py").decode()
    assert vermin.visit(start).minimum_versions()[0] in ((0, 0), (2, 0), (2, 6), (2, 7))
    assert start.index("version_info <") < start.index("edgepack.runtime.runner import")


def test_the_rest_needs_no_more_than_python_3_9() -> None:
    members = zipfile.ZipFile(io.BytesIO(runner.build_runner()))
    for name in members.namelist():
        config = vermin.Config()
        config.set_eval_annotations(False)
        found = vermin.visit(members.read(name).decode(), config).minimum_versions()
        assert found[1] is not None and found[1] <= (3, 9), name
