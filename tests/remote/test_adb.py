"""adb, by a fake of it on PATH that keeps a phone's files in a folder and prints what benchmark_model prints."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgepack import device, errors
from edgepack.remote import adb, measuring
from edgepack.remote.subject import Subject, Wish

SUBJECT = Subject(name="m", model=b"not a model, only bytes" * 100)
LOG = """\
INFO: Inference timings in us: Init: 3201, First inference: 1180, Warmup (avg): 701.2, Inference (avg): 655.25
INFO: count=1523 first=660 curr=650 min=611 max=1333 avg=655.25 std=21 p5=630 median=652 p95=700
INFO: Overall peak memory footprint (MB) via periodic monitoring: 5.4
INFO: Memory footprint delta from the start of the tool (MB): init=1.5 overall=5.38
"""
FAKE = """#!/bin/sh
# adb -s SERIAL push FILE TARGET | adb -s SERIAL shell COMMAND
[ "$1" = -s ] || exit 2
[ "$2" = phone1 ] || {{ echo "adb: device '$2' not found" >&2; exit 1; }}
case "$3" in
  push) {push} ;;
  shell)
    case "$4" in
      sha256sum*) sha256sum "{phone}/$(basename "${{4#sha256sum }}" | cut -d' ' -f1)" ;;
      rm*) rm -f "{phone}"/* ;;
      *) echo "$4" > "{phone}.command"; {tool} ;;
    esac ;;
esac
"""


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def make(*, push: str = 'cp "$4" "{phone}/$(basename "$5")"', tool: str = "") -> Path:
        folder = tmp_path / "phone"
        folder.mkdir()
        log = tmp_path / "log"
        log.write_text(LOG)
        tool = tool or f"cat {log}; echo; echo edgepack-code 0"
        fake = tmp_path / "bin" / "adb"
        fake.parent.mkdir()
        fake.write_text(FAKE.format(phone=folder, push=push.format(phone=folder), tool=tool))
        fake.chmod(0o755)
        monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
        return folder

    return make


def measured(host: str = "phone1", **wish: object):
    return measuring.measure(device.load("android-arm64", host=host), [SUBJECT], Wish(**wish))


def test_times_of_the_tool(phone) -> None:
    folder = phone()
    where, found = measured(seconds=2.0)
    assert where == "android-arm64 (adb phone1)"
    assert found["latency_ms"] == {
        "p50": 0.652, "p5": 0.63, "p95": 0.7, "min": 0.611, "max": 1.333, "stdev": 0.021, "mean": 0.65525,
    }  # fmt: skip
    assert (found["runs"], found["first_inference_ms"], found["load_ms"]) == (1523, 1.18, 3.201)
    assert found["peak_memory_mb"] == 5.38 and found["golden"] is None
    command = (folder.parent / "phone.command").read_text()
    assert "--num_threads=4" in command and "--min_secs=2" in command and command.startswith(adb.TOOL)
    assert list(folder.iterdir()) == [], "the model is removed"


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"tool": "echo sh: not found; echo edgepack-code 127"}, errors.MissingWheelError, "no benchmark_model at"),
        ({"tool": "echo edgepack-code 139"}, errors.DeviceSignalError, "signal 11"),
        ({"tool": "echo edgepack-code 137"}, errors.DeviceMemoryError, "memory"),
        ({"tool": "echo Failed to load; echo edgepack-code 1"}, errors.DeviceProtocolError, "Failed to load"),
        ({"tool": "echo hello; echo edgepack-code 0"}, errors.DeviceProtocolError, "no timings"),
        ({"tool": "echo half"}, errors.ConnectionLostError, "the connection broke"),
        ({"tool": "exec sleep 60"}, errors.DeviceTimeoutError, "did not finish within 1 s"),
        ({"push": "echo 'remote write failed: No space left on device' >&2; exit 1"}, errors.DeviceStorageError, "full"),
        ({"push": 'echo x > "{phone}/$(basename "$5")"'}, errors.TransferError, "arrived damaged"),
        ({"push": "echo 'error: device unauthorized.' >&2; exit 1"}, errors.LoginError, "not allowed this computer"),
    ],
)  # fmt: skip
def test_failures(phone, settings: dict[str, str], kind: type[errors.EdgepackError], message: str) -> None:
    folder = phone(**settings)
    with pytest.raises(kind, match=message):
        measured(timeout_s=1.0)
    assert list(folder.iterdir()) == []


def test_no_such_phone(phone) -> None:
    phone()
    with pytest.raises(errors.UnreachableError, match="device 'phone2' not found"):
        measured("phone2")


def test_no_adb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.DeviceError, match="adb: cannot be run here"):
        measured()
