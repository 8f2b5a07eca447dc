"""Child side: ``python -m edgepack.runtime`` answers one JSON request and ends.

Lines with ``progress`` (0 … 1) may come before the line with ``result`` or ``error``.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import IO, Any

from edgepack import errors
from edgepack.runtime.operations import run

PR_SET_PDEATHSIG = 1
REPORT_EVERY_S = 0.25


def _channel() -> IO[bytes]:
    """Keeps the reply pipe for ourselves: whatever a library prints goes to the log."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return replies


def _limit(memory_bytes: int | None) -> None:
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    if sys.platform == "linux":  # a parent killed with -9 must not leave an interpreter running
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _answer(request: dict[str, Any], report: Callable[[float], None]) -> dict[str, Any]:
    operation = request["operation"]
    try:
        return {"result": run(operation, request["runtime"], request["arguments"], report)}
    except errors.EdgepackError as error:
        return {"error": {"kind": type(error).__name__, "message": str(error)}}
    except MemoryError:
        traceback.print_exc()
        return {"error": {"kind": "ChildCrashError", "message": f"out of memory during {operation!r}"}}
    except Exception as error:
        # The one place where a foreign exception becomes ours; the whole trace is in the log.
        traceback.print_exc()
        message = f"{request['runtime']}: {operation!r} raised {type(error).__name__}: {error}"
        return {"error": {"kind": "ChildCrashError", "message": message}}


def main() -> None:
    replies = _channel()
    request = json.loads(sys.stdin.buffer.read())
    _limit(request["memory_bytes"])
    next_report = time.monotonic() + REPORT_EVERY_S

    def report(fraction: float) -> None:
        nonlocal next_report
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + REPORT_EVERY_S
            _send(replies, {"progress": fraction})

    _send(replies, _answer(request, report))


def _send(replies: IO[bytes], message: dict[str, Any]) -> None:
    """Writes one line. The pipe is unbuffered, and one write may take only a part of a long line."""
    rest = json.dumps(message).encode() + b"\n"
    while rest:
        rest = rest[replies.write(rest) :]


if __name__ == "__main__":
    main()
