"""Models on devices: the runner through a real ssh server, its failures, many at once, and the command."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgepack import device, errors
from edgepack.cli import run
from edgepack.device import Device
from edgepack.remote import measuring
from edgepack.remote.subject import Subject, Wish
from edgepack.runtime import run_kernels
from edgepack.runtime.golden import Golden, OutputCheck
from edgepack.tflite import interface, read, single_op
from tests.remote.conftest import Loopback
from tests.remote.test_ssh import emptied, script

QUICK = Wish(seconds=0.2, threads=1)


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(name="dense", model=single_op.dense(32, 8))


def board(loopback: Loopback, *, python: str = sys.executable, timeout_s: int = 60) -> Device:
    """A profile of a Pi that is really the loopback server."""
    kind = device.load("rpi4", host="device")
    assert kind.connection is not None
    settings = {"python": python, "folder": str(loopback.scratch), "timeout_s": timeout_s}
    return kind.model_copy(update={"connection": kind.connection.model_copy(update=settings)})


def test_a_model_over_ssh(loopback: Loopback, subject: Subject) -> None:
    where, found = measuring.measure(board(loopback), [subject], QUICK)
    assert where == "rpi4 (ssh device)"
    assert found["sha256"] == subject.sha256 and found["runtime"] == "litert"
    assert 0 < found["latency_ms"]["p10"] <= found["latency_ms"]["p50"] <= found["latency_ms"]["p99"]
    assert emptied(loopback.scratch)


def promised(subject: Subject, *, off_by: int) -> Subject:
    """With the golden vectors of the reference kernels here, or wrong ones."""
    random = np.random.Generator(np.random.PCG64(0))
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.tflite"
        model.write_bytes(subject.model)
        (given,), _ = interface(read(model))
        inputs = {given.name: random.integers(-128, 128, size=(4, *given.shape[1:]), dtype=np.int8)}
        outputs = run_kernels(model, inputs, ("reference",))["reference"]
    shifted = {
        name: (array.astype(np.int16) + off_by).clip(-128, 127).astype(np.int8)
        for name, array in outputs.items()
    }
    checks = tuple(
        OutputCheck(name=name, difference=0.0, tolerance=2.0, argmax_agreement=1.0) for name in outputs
    )
    golden = Golden(
        model_sha256=subject.sha256, inputs=inputs, outputs=shifted, runtime="litert", version="0", source="synthetic",
        seed=0, checks=checks,
    )  # fmt: skip
    return replace(subject, golden=golden.encode())


def test_golden_vectors_come_first(loopback: Loopback, subject: Subject) -> None:
    _, found = measuring.measure(board(loopback), [promised(subject, off_by=0)], QUICK)
    assert found["golden"]["holds"]
    with pytest.raises(errors.GateError, match="golden vectors"):
        measuring.measure(board(loopback), [promised(subject, off_by=40)], QUICK)


def test_two_models_in_turns(loopback: Loopback, subject: Subject) -> None:
    other = Subject(name="larger", model=single_op.dense(640, 128))
    wish = replace(QUICK, rounds=3, seconds=0.6)
    _, found = measuring.measure(board(loopback), [other, subject], wish)
    assert found["low"] <= found["ratio"] <= found["high"] and found["ratio"] > 1.0


def test_a_device_without_the_wheel(loopback: Loopback, subject: Subject, tmp_path: Path) -> None:
    bare = script(tmp_path / "python", f'exec {sys.executable} -S -E "$@"')
    with pytest.raises(errors.MissingWheelError, match="not installed") as caught:
        measuring.measure(board(loopback, python=bare), [subject], QUICK)
    assert caught.value.exit_code == 85


def test_a_damaged_model(loopback: Loopback) -> None:
    with pytest.raises(errors.ModelError):
        measuring.measure(board(loopback), [Subject(name="junk", model=b"\0" * 999)], QUICK)


def test_a_time_limit_while_measuring(loopback: Loopback, subject: Subject) -> None:
    with pytest.raises(errors.DeviceTimeoutError) as caught:
        measuring.measure(board(loopback, timeout_s=2), [subject, subject], replace(QUICK, seconds=60))
    assert caught.value.exit_code == 89
    assert emptied(loopback.scratch)


def test_a_delegate_that_is_not_there(loopback: Loopback, subject: Subject) -> None:
    wish = replace(QUICK, delegate="/opt/none/libdelegate.so", delegate_options={"a": "b"})
    with pytest.raises(errors.DeviceError, match="libdelegate") as caught:
        measuring.measure(board(loopback), [subject], wish)
    assert caught.value.exit_code == 69


def test_one_that_fails_does_not_stop_the_others(loopback: Loopback, subject: Subject) -> None:
    good, bad = board(loopback), board(loopback, python="/opt/none/python3")
    answers = measuring.measure_all([good, bad, good], [subject], QUICK)
    assert [answer.failure is None for answer in answers] == [True, False, True]
    told = answers[1].to_json()
    assert told["status"] == "failed" and told["error"]["exit_code"] == 83


def test_the_command(loopback: Loopback, subject: Subject, tmp_path: Path, capsys, monkeypatch) -> None:
    model = tmp_path / "dense.tflite"
    model.write_bytes(subject.model)
    folder = tmp_path / "devices"
    folder.mkdir()
    for name, python in (("good", sys.executable), ("bad", "/opt/none/python3")):
        (folder / f"{name}.toml").write_text(
            f'name = "{name}"\nlike = "rpi4"\nthreads = 1\n[connection]\nhost = "device"\npython = "{python}"\n'
        )
    monkeypatch.chdir(tmp_path)
    words = ["bench", str(model), "--seconds", "0.2", "--json"]
    assert run([*words, "--device", "good"]) == 77
    assert "--allow-unsigned" in capsys.readouterr().err
    assert run([*words, "--device", "bad,good", "--allow-unsigned"]) == 83
    bad, good = json.loads(capsys.readouterr().out)["devices"]
    assert (bad["status"], good["status"]) == ("failed", "ok")
    assert good["sha256"] == subject.sha256 and bad["error"]["kind"] == "NoPythonError"
