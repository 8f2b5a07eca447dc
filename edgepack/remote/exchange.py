"""A process that is fed and listened to at the same time, never longer than its time."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edgepack import errors
from edgepack.child import child_environment

MOST_OUTPUT: Final = 1 << 25
CHUNK: Final = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What became of a process.

    Attributes:
      code: exit code, negative for a signal; None where the time was up and it was killed.
      output, complaints: its standard output and standard error.
    """

    code: int | None
    output: bytes
    complaints: bytes


def exchange(
    command: Sequence[str],
    payload: bytes,
    *,
    timeout_s: float,
    finished: Callable[[bytes], bool] = lambda output: False,
) -> Exchange:
    """Runs a program with `payload` on its standard input, which stays open until the program has said its last.

    Args:
      command: program and arguments; no shell is involved.
      timeout_s: wall time after which its process group is killed.
      finished: told the end of the output so far, 128 KiB; once it says so, standard input is closed.

    Raises:
      DeviceError: the program is not there, or says far too much.
    """
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**child_environment(), "LC_ALL": "C"},
            start_new_session=True,
            bufsize=0,
        )
    except OSError as error:
        raise errors.DeviceError(f"{command[0]}: cannot be run here: {error.strerror}; install it") from error
    deadline = time.monotonic() + timeout_s
    said: dict[str, bytearray] = {"output": bytearray(), "complaints": bytearray()}
    code: int | None = None
    try:
        if _talk(process, payload, deadline, said, finished):
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=max(0.0, deadline - time.monotonic()))
    finally:
        _end(process)
    return Exchange(code=code, output=bytes(said["output"]), complaints=bytes(said["complaints"]))


def _talk(
    process: subprocess.Popen[bytes],
    payload: bytes,
    deadline: float,
    said: dict[str, bytearray],
    finished: Callable[[bytes], bool],
) -> bool:
    """Writes and reads until both outputs end; whether they did in time."""
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    rest = memoryview(payload)
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdin, selectors.EVENT_WRITE, "payload")
        selector.register(process.stdout, selectors.EVENT_READ, "output")
        selector.register(process.stderr, selectors.EVENT_READ, "complaints")
        reading = 2
        while reading:
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                return False
            for key, _ in ready:
                if key.data == "payload":
                    try:
                        rest = rest[os.write(key.fd, rest[:CHUNK]) :]
                    except BrokenPipeError:  # it ended early; what it said tells why
                        rest = rest[:0]
                    if not rest:
                        selector.unregister(key.fileobj)
                    continue
                chunk = os.read(key.fd, CHUNK)
                if not chunk:
                    selector.unregister(key.fileobj)
                    reading -= 1
                    continue
                said[key.data] += chunk
                if len(said[key.data]) > MOST_OUTPUT:
                    raise errors.DeviceProtocolError(
                        f"{process.args!r}: said more than {MOST_OUTPUT:,} bytes"
                    )
                if (
                    key.data == "output"
                    and not process.stdin.closed
                    and not rest
                    and finished(bytes(said["output"][-2 * CHUNK :]))
                ):
                    process.stdin.close()
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
