"""The program that is sent to devices: ``python3 edgepack-runner REQUEST.json`` in the folder of the models.

It checks hashes and golden vectors, then measures, with the very code that measures here; the interpreter runs in
a child, so that even a crash is told. On standard output: lines that start with `PREFIX`, each one JSON object;
``{"progress": 0 … 1}`` on the way, and last ``{"status": "ok" | "failed", …}``. Its Python may be 3.9.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.runtime.__main__ import main as interpreter_child
from edgepack.runtime.availability import require
from edgepack.runtime.client import CHILD_WORD, RUNNER_VARIABLE, OnProgress, ask
from edgepack.runtime.request import RunnerModel, RunnerRequest

PREFIX: Final = "edgepack-runner "
PROGRESS_EVERY_S: Final = 1.0
KINDS: Final = (
    (errors.MissingDependencyError, "missing-runtime"),
    (errors.DeviceError, "delegate"),
    (errors.ModelError, "model"),
    (errors.StorageError, "disk"),
    (errors.BadInputError, "request"),
)
"""Error → the kind that the status line tells, where nothing closer is known."""


class RefusedError(Exception):
    """A check before measuring failed, on the device: `kind` is "hash" or "golden"; only the status line tells it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def main(program: str, words: list[str]) -> int:
    """Carries out a request; returns the exit code.

    Args:
      program: path of the runner itself, which its children run as well.
      words: the command line: the request's file, or the word that makes it a child.
    """
    if words == [CHILD_WORD]:
        interpreter_child()
        return 0
    os.environ[RUNNER_VARIABLE] = str(Path(program).absolute())
    try:
        if len(words) != 1:
            raise errors.BadInputError("usage: python3 edgepack-runner REQUEST.json")
        request = _request(Path(words[0]))
        _say({"status": "ok", **_carried_out(request, Path(words[0]).absolute().parent)})
        return 0
    except RefusedError as error:
        _say({"status": "failed", "kind": error.kind, "message": str(error)})
        return errors.EdgepackError.exit_code
    except errors.EdgepackError as error:
        _say({"status": "failed", "kind": _kind(error), "message": str(error), **_signal(error)})
        return error.exit_code
    except BrokenPipeError:
        return errors.DeviceError.exit_code  # nobody listens any more; the child is ended already
    except (MemoryError, OSError) as error:  # no room for a process or for its log
        short = isinstance(error, MemoryError) or error.errno == errno.ENOMEM
        kind = "memory" if short else "disk"
        _say(
            {
                "status": "failed",
                "kind": kind,
                "message": f"before anything was measured: {error or 'no memory'}",
            }
        )
        return errors.ChildCrashError.exit_code if short else errors.StorageError.exit_code


def _request(file: Path) -> RunnerRequest:
    try:
        return RunnerRequest.from_json(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise errors.BadInputError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise errors.BadInputError(f"{file}: is not JSON: {error}") from error


def _carried_out(request: RunnerRequest, folder: Path) -> dict[str, Any]:
    deadline = time.monotonic() + request.timeout_s
    version = require(request.runtime)
    for model in request.models:
        _require_hash(folder / model.file, model.sha256)
    golden = [_golden(request, model, folder, version, deadline) for model in request.models]
    return {
        "runtime": request.runtime,
        "version": version,
        "kernels": request.kernels,
        "threads": request.threads,
        "delegate": request.delegate,
        "seed": request.seed,
        "python": platform.python_version(),
        "sha256": [model.sha256 for model in request.models],
        "golden": golden,
        "results": _results(request, folder, deadline),
    }


def _require_hash(file: Path, sha256: str) -> None:
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise errors.StorageError(f"{file}: cannot be read: {error.strerror}") from error
    if found != sha256:
        raise RefusedError(
            "hash", f"{file.name}: its SHA-256 here is {found}, expected {sha256}; it was damaged on its way"
        )


def _golden(
    request: RunnerRequest, model: RunnerModel, folder: Path, version: str, deadline: float
) -> dict[str, Any] | None:
    """How the model's golden vectors came out; None where it has none."""
    if model.golden is None or model.golden_file is None:
        return None
    arguments = {
        **_settings(request),
        "model": str(folder / model.file),
        "sha256": model.sha256,
        "table": model.golden,
        "body": str(folder / model.golden_file),
        "version": version,
    }
    found = _asked("golden", arguments, request, deadline)
    if not found["holds"]:
        off = max(found["outputs"], key=lambda output: output["difference"] - output["tolerance"])
        raise RefusedError(
            "golden",
            f"{model.file}: output {off['name']!r} is {off['difference']:g} from its golden vectors with "
            f"{request.runtime} {version}, {request.kernels} kernels; {off['tolerance']:g} is tolerated. "
            "This device does not compute the model that was checked",
        )
    return found


def _results(request: RunnerRequest, folder: Path, deadline: float) -> list[dict[str, Any]]:
    """What the child measured: one entry for each model, or one for all together."""
    files = [{"model": str(folder / model.file), "sha256": model.sha256} for model in request.models]
    shared = {**_settings(request), "seconds": request.seconds, "seed": request.seed}
    if request.task == "time":
        each = ({**shared, **file, "vectors": None} for file in files)
        return [_asked("time", arguments, request, deadline) for arguments in each]
    if request.task == "time_pair":
        a, b = files
        pair = {"a": a["model"], "b": b["model"], "a_sha256": a["sha256"], "b_sha256": b["sha256"]}
        return [_asked("time_pair", {**shared, **pair, "rounds": request.rounds}, request, deadline)]
    if request.task == "time_each":
        return [_asked("time_each", {**shared, "models": files, "rounds": request.rounds}, request, deadline)]
    return []


def _settings(request: RunnerRequest) -> dict[str, Any]:
    return {
        "kernels": request.kernels,
        "threads": request.threads,
        "delegate": request.delegate,
        "delegate_options": dict(request.delegate_options),
    }


def _asked(
    operation: str, arguments: dict[str, Any], request: RunnerRequest, deadline: float
) -> dict[str, Any]:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise errors.ChildCrashError(
            f"no time is left for {operation!r}: the limit is {request.timeout_s:g} s", cause="timeout"
        )
    return ask(
        operation,
        arguments,
        runtime=request.runtime,
        timeout_s=left_s,
        memory_bytes=request.memory_bytes,
        on_progress=_teller(),
    )


def _teller() -> OnProgress:
    """Tells progress now and then: who listens learns that the device lives, and a lost line ends the runner."""
    next_s = time.monotonic()

    def tell(fraction: float) -> None:
        nonlocal next_s
        if time.monotonic() >= next_s:
            next_s = time.monotonic() + PROGRESS_EVERY_S
            _say({"progress": round(fraction, 3)})

    return tell


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(f"{PREFIX}{json.dumps(message)}\n")
    sys.stdout.flush()


def _kind(error: errors.EdgepackError) -> str:
    if isinstance(error, errors.ChildCrashError):
        return error.cause
    return next((kind for of, kind in KINDS if isinstance(error, of)), "crash")


def _signal(error: errors.EdgepackError) -> dict[str, int]:
    number = getattr(error, "signal", None)
    return {} if number is None else {"signal": number}
