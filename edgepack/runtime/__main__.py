"""Child side: ``python -m edgepack.runtime`` answers one JSON request and ends.

Lines with ``progress`` (0 … 1) may come before the line with ``result`` or ``error``.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from edgepack import child, errors
from edgepack.durable import is_about_storage
from edgepack.runtime.operations import run

REPORT_EVERY_S = 0.25


def _answer(request: dict[str, Any], report: Callable[[float], None]) -> dict[str, Any]:
    operation = request["operation"]
    try:
        return {"result": run(operation, request["runtime"], request["arguments"], report)}
    except errors.EdgepackError as error:
        return {"error": {"kind": type(error).__name__, "message": str(error)}}
    except ImportError as error:
        message = f"{request['runtime']}: {error.name or 'a module'} cannot be imported in {sys.executable}: {error}"
        return {"error": {"kind": "MissingDependencyError", "message": message}}
    except MemoryError:
        traceback.print_exc()
        message = f"{request['runtime']}: out of memory during {operation!r}"
        return {"error": {"kind": "ChildCrashError", "cause": "memory", "message": message}}
    except Exception as error:
        # The one place where a foreign exception becomes ours; the whole trace is in the log.
        traceback.print_exc()
        if is_about_storage(error):
            return {"error": {"kind": "StorageError", "message": f"during {operation!r}: {error}"}}
        message = f"{request['runtime']}: {operation!r} raised {type(error).__name__}: {error}"
        return {"error": {"kind": "ChildCrashError", "message": message}}


def main() -> None:
    replies = child.reply_channel()
    request = json.loads(sys.stdin.buffer.read())
    child.settle(request["memory_bytes"])
    child.leave_network()
    next_report = time.monotonic() + REPORT_EVERY_S

    def report(fraction: float) -> None:
        nonlocal next_report
        if time.monotonic() >= next_report:
            next_report = time.monotonic() + REPORT_EVERY_S
            child.send(replies, {"progress": fraction})

    child.send(replies, _answer(request, report))


if __name__ == "__main__":
    main()
