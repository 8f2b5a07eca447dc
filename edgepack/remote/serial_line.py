"""A microcontroller's serial port: its firmware measures by itself and prints one status line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from edgepack import errors
from edgepack.device import Device
from edgepack.records import Json
from edgepack.remote.firmware import checked, status_in
from edgepack.remote.reaching import host_of
from edgepack.remote.subject import Subject, Wish

START: Final = b"run\n"
"""Firmware that waits for a listener starts at this; other firmware ignores it."""
LONGEST_LINE: Final = 1 << 16
STEP_S: Final = 0.2


def measure(device: Device, subjects: Sequence[Subject], wish: Wish) -> tuple[str, dict[str, Json]]:
    """Listens until the firmware tells its result.

    Raises:
      UnreachableError: no such port, or it is in use. DeviceTimeoutError: no result in time.
      ConnectionLostError: the cable was pulled. Others: see `firmware.checked`.
    """
    if len(subjects) != 1:
        raise errors.DeviceError(
            f"{device.name}: its firmware has one model inside; two cannot take turns there"
        )
    port, own = host_of(device), device.connection
    where = f"{device.name} (serial {port})"
    assert own is not None
    timeout_s = wish.timeout_s or float(own.timeout_s)
    with _opened(port, own.baud, where) as line:
        told = _listen(line, where, timeout_s)
    return where, checked(told, where, sha256=subjects[0].sha256)


def _opened(port: str, baud: int, where: str) -> Any:
    try:
        import serial
    except ImportError:
        raise errors.MissingDependencyError(
            'serial ports need pyserial: pip install "edgepack[serial]"'
        ) from None
    try:
        return serial.Serial(port, baud, timeout=STEP_S, write_timeout=STEP_S, exclusive=True)
    except (OSError, ValueError) as error:  # pyserial's own is an OSError
        raise errors.UnreachableError(
            f"{where}: the port cannot be opened: {error}; is the board plugged in, and may this user use the port?"
        ) from error


def _listen(line: Any, where: str, timeout_s: float) -> dict[str, Any]:
    deadline, said = time.monotonic() + timeout_s, b""
    last = ""
    try:
        line.write(START)
        while time.monotonic() < deadline:
            said += line.read(max(1, min(line.in_waiting, LONGEST_LINE)))
            *lines, said = said.split(b"\n")
            for each in lines:
                text = each.decode(errors="replace").strip()
                told = status_in(text)
                if told is not None:
                    return told
                last = text or last
            said = said[-LONGEST_LINE:]
    except OSError as error:
        raise errors.ConnectionLostError(f"{where}: the port broke off: {error}; is the cable in?") from error
    heard = f'; the last line was "{last[:200]}"' if last else "; nothing was heard: is the baud rate right?"
    raise errors.DeviceTimeoutError(f"{where}: no result within {timeout_s:g} s{heard}")
