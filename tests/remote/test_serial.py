"""A board's firmware, played at the other end of a pair of pseudo terminals."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import threading
import time
import tty
from collections.abc import Callable, Iterator

import pytest

from edgepack import device, errors
from edgepack.remote import measuring
from edgepack.remote.subject import Subject, Wish

pytest.importorskip("serial", reason='pip install "edgepack[serial]"')
SUBJECT = Subject(name="m", model=b"model")
SHA256 = hashlib.sha256(b"model").hexdigest()
GOOD = {
    "status": "ok", "runtime": "tflite-micro", "model_sha256": SHA256, "arena_bytes": 20_480, "runs": 50,
    "min_us": 900, "p10_us": 950, "p50_us": 1000, "p90_us": 1100, "max_us": 1300,
}  # fmt: skip
Play = Callable[[bytes], str]


@pytest.fixture
def firmware() -> Iterator[Callable[[bytes], str]]:
    """Starts a board that waits for "run", then says these bytes; gives its port."""
    opened: list[int] = []

    def play(said: bytes) -> str:
        board, port = pty.openpty()
        opened.extend((board, port))
        tty.setraw(port)

        def work() -> None:
            heard = b""
            while b"run\n" not in heard:
                heard += os.read(board, 64)
            for piece in (said[:7], said[7:]):
                os.write(board, piece)
                time.sleep(0.02)

        threading.Thread(target=work, daemon=True).start()
        return os.ttyname(port)

    yield play
    for each in opened:
        os.close(each)


def line(told: object) -> bytes:
    return b"boot 1.2\r\nedgepack-runner " + json.dumps(told).encode() + b"\r\n"


def measured(port: str, timeout_s: float = 10.0):
    return measuring.measure(device.load("rp2040", host=port), [SUBJECT], Wish(timeout_s=timeout_s))


def test_a_result(firmware: Play) -> None:
    port = firmware(line(GOOD))
    where, found = measured(port)
    assert where == f"rp2040 (serial {port})"
    assert (found["p50_us"], found["arena_bytes"], found["model_checked"]) == (1000, 20_480, True)
    assert found["sha256"] == SHA256 and "status" not in found


def test_firmware_that_does_not_say_its_model(firmware: Play) -> None:
    told = {key: value for key, value in GOOD.items() if key != "model_sha256"}
    assert measured(firmware(line(told)))[1]["model_checked"] is False


@pytest.mark.parametrize(
    ("told", "kind", "message"),
    [
        ({**GOOD, "model_sha256": "0" * 64}, errors.TransferError, "runs another model"),
        ({**GOOD, "p50_us": "fast"}, errors.DeviceProtocolError, "\"p50_us\" as 'fast'"),
        ({**GOOD, "runs": True}, errors.DeviceProtocolError, '"runs" as True'),
        ({**GOOD, "min_us": -1}, errors.DeviceProtocolError, '"min_us" as -1'),
        ({"status": "ok"}, errors.DeviceProtocolError, '"arena_bytes" as None'),
        ({"status": "failed", "kind": "arena", "message": "too small"}, errors.ChildCrashError, "too small"),
    ],
)  # fmt: skip
def test_refusals(firmware: Play, told: object, kind: type[errors.EdgepackError], message: str) -> None:
    with pytest.raises(kind, match=message):
        measured(firmware(line(told)))


def test_silence(firmware: Play) -> None:
    began = time.monotonic()
    with pytest.raises(errors.DeviceTimeoutError, match=r"no result within 1 s.*the last line was .hello"):
        measured(firmware(b"hello\r\nedgepack-runner {broken\r\nhello\r\n"), timeout_s=1.0)
    assert time.monotonic() - began < 5.0


def test_no_such_port() -> None:
    with pytest.raises(errors.UnreachableError, match="the port cannot be opened"):
        measured("/dev/ttyNONE")


def test_two_models_cannot_take_turns() -> None:
    with pytest.raises(errors.DeviceError, match="one model inside"):
        measuring.measure(device.load("rp2040", host="/dev/ttyNONE"), [SUBJECT, SUBJECT], Wish())
