"""Child side: ``python -m edgepack.runtime`` answers one JSON request and ends."""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import resource
import signal
import sys
import traceback
from typing import IO, Any

from edgepack import errors
from edgepack.runtime.operations import run

PR_SET_PDEATHSIG = 1


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


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    operation = request["operation"]
    try:
        return {"result": run(operation, request["runtime"], request["arguments"])}
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
    replies.write(json.dumps(_answer(request)).encode() + b"\n")


if __name__ == "__main__":
    main()
