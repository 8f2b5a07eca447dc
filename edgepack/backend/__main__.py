"""Child side: ``python -m edgepack.backend SETTINGS`` answers JSON lines until its standard input closes."""

from __future__ import annotations

import os

# Before anything can import TensorFlow: TF-MOT needs tf.keras to be tf_keras, and users need silence.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import importlib
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

from edgepack import child, errors
from edgepack.backend.operations import OPERATIONS
from edgepack.durable import is_about_storage


def _prepare(settings: dict[str, Any]) -> None:
    child.settle(settings["memory_bytes"])
    from edgepack.backend import session
    from edgepack.gate.isolation import read_directly

    read_directly()
    session.configure(
        trust_code=settings["trust_code"],
        custom=settings["custom"],
        import_paths=settings["import_paths"],
        joins_workers=settings["joins_workers"],
    )


def _run(request: dict[str, Any], report: Callable[[str, float | None], None]) -> dict[str, Any]:
    module, function = OPERATIONS[request["operation"]].split(":")
    try:
        operation = getattr(importlib.import_module(module), function)
        return {"result": operation(**request["arguments"], report=report)}
    except Exception as error:
        return {"error": _explained(error, request["operation"])}


def _explained(error: Exception, operation: str) -> dict[str, str]:
    """The one place where a foreign exception becomes ours; its whole trace is in the log."""
    if isinstance(error, errors.EdgepackError):
        return {"kind": type(error).__name__, "message": str(error)}
    traceback.print_exc()
    if is_about_storage(error):
        return {"kind": "StorageError", "message": f"during {operation!r}: {error}"}
    if isinstance(error, MemoryError):
        return {"kind": "ChildCrashError", "message": f"out of memory during {operation!r}"}
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return {
        "kind": "ChildCrashError",
        "message": f"{operation}: TensorFlow raised {type(error).__name__}: {first}",
    }


def main() -> None:
    replies = child.reply_channel()

    def report(text: str, fraction: float | None = None) -> None:
        child.send(replies, {"progress": {"text": text, "fraction": fraction}})

    unprepared: dict[str, str] | None = None
    try:
        _prepare(json.loads(sys.argv[1]))
    except Exception as error:  # told as the answer to the first request: until then nobody listens
        unprepared = _explained(error, "start")
    for line in sys.stdin.buffer:
        if unprepared is not None:
            child.send(replies, {"error": unprepared})
            break
        child.send(replies, _run(json.loads(line), report))


if __name__ == "__main__":
    main()
