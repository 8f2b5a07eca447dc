"""Child side: ``python -m edgepack.backend SETTINGS`` answers JSON lines until its standard input closes."""

from __future__ import annotations

import os

# Before anything can import TensorFlow: TF-MOT needs tf.keras to be tf_keras, and users need silence.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import faulthandler
import importlib
import json
import resource
import sys
import traceback
from collections.abc import Callable
from typing import IO, Any

from edgepack import errors
from edgepack.backend.operations import OPERATIONS


def _channel() -> IO[bytes]:
    """Keeps the reply pipe for ourselves: whatever a library prints goes to the log."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    return replies


def _prepare(settings: dict[str, Any]) -> None:
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if settings["memory_bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_AS, (settings["memory_bytes"], settings["memory_bytes"]))
    sys.path[:0] = settings["import_paths"]
    from edgepack.backend import session
    from edgepack.gate.isolation import read_directly

    read_directly()
    session.configure(trust_code=settings["trust_code"], custom=settings["custom"])


def _run(request: dict[str, Any], report: Callable[[str, float | None], None]) -> dict[str, Any]:
    module, function = OPERATIONS[request["operation"]].split(":")
    try:
        operation = getattr(importlib.import_module(module), function)
        return {"result": operation(**request["arguments"], report=report)}
    except errors.EdgepackError as error:
        return {"error": {"kind": type(error).__name__, "message": str(error)}}
    except MemoryError:
        traceback.print_exc()
        return {"error": {"kind": "ChildCrashError", "message": f"out of memory during {request['operation']!r}"}}
    except Exception as error:
        # The one place where a foreign exception becomes ours; the whole trace is in the log.
        traceback.print_exc()
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        message = f"{request['operation']}: TensorFlow raised {type(error).__name__}: {first}"
        return {"error": {"kind": "ChildCrashError", "message": message}}


def main() -> None:
    replies = _channel()

    def send(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message).encode() + b"\n")

    def report(text: str, fraction: float | None = None) -> None:
        send({"progress": {"text": text, "fraction": fraction}})

    _prepare(json.loads(sys.argv[1]))
    for line in sys.stdin.buffer:
        send(_run(json.loads(line), report))


if __name__ == "__main__":
    main()
