"""The program that measures on a device, from this side: making it, asking it, understanding its answer.

A transport puts `build_runner()` (as `RUNNER_FILE`), the models and `request_bytes` (as `REQUEST_FILE`) into one
folder of the device, runs ``python3 edgepack-runner request.json`` there, and gives its standard output to `parse_status`.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.benchmark.circumstances import Circumstances
from edgepack.benchmark.comparison import Comparison
from edgepack.benchmark.measurement import Measurement
from edgepack.runtime.arrays import MODE, ZIP_EPOCH
from edgepack.runtime.request import RunnerModel, RunnerRequest
from edgepack.runtime.runner import PREFIX

__all__ = [
    "PREFIX",
    "REQUEST_FILE",
    "RUNNER_FILE",
    "RunnerModel",
    "RunnerRequest",
    "build_runner",
    "comparison",
    "measurements",
    "parse_progress",
    "parse_status",
    "request_bytes",
    "timed_each",
]

RUNNER_FILE: Final = "edgepack-runner"
REQUEST_FILE: Final = "request.json"
MODULES: Final = (
    "errors", "child", "durable",
    "runtime/__main__", "runtime/arrays", "runtime/availability", "runtime/client", "runtime/drawing", "runtime/golden",
    "runtime/golden_here", "runtime/inference", "runtime/interpreter", "runtime/machine", "runtime/operations",
    "runtime/quantization", "runtime/repeating", "runtime/request", "runtime/runner", "runtime/stopwatch",
    "runtime/timing", "runtime/vectors",
)  # fmt: skip
"""What of edgepack the runner is made of; the standard library, numpy and an interpreter are on the device."""
ROOMS: Final = ("", "runtime/")
LONGEST_TOLD: Final = 2000
"""Characters of a device's own words that a message repeats."""

FAILURES: Final[Mapping[str, type[errors.EdgepackError]]] = {
    "missing-runtime": errors.MissingWheelError,
    "wrong-python": errors.PythonVersionError,
    "delegate": errors.DeviceError,
    "hash": errors.TransferError,
    "golden": errors.GateError,
    "model": errors.ModelError,
    "disk": errors.DeviceStorageError,
    "request": errors.DeviceProtocolError,
    "memory": errors.DeviceMemoryError,
    "signal": errors.DeviceSignalError,
    "timeout": errors.DeviceTimeoutError,
}
"""Kind that a status line tells → the error it is on this side; others are `errors.ChildCrashError`."""


def build_runner() -> bytes:
    """The runner as one file that Python runs (a zipapp): the same bytes each time from the same edgepack."""
    package = Path(__file__).resolve().parents[1]
    members = {"__main__.py": (package / "runtime" / "runner_start.py").read_bytes()}
    members.update({f"edgepack/{room}__init__.py": b"" for room in ROOMS})
    members.update({f"edgepack/{name}.py": (package / f"{name}.py").read_bytes() for name in MODULES})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            info = zipfile.ZipInfo(name, ZIP_EPOCH)
            info.external_attr, info.create_system = MODE, 3
            archive.writestr(info, members[name])
    return buffer.getvalue()


def request_bytes(request: RunnerRequest) -> bytes:
    """What `REQUEST_FILE` holds.

    Raises:
      BadInputError: the request cannot be carried out.
    """
    request.require_sense()
    return (json.dumps(request.to_json(), indent=1, sort_keys=True) + "\n").encode()


def parse_progress(line: str) -> float | None:
    """How much is done, 0 … 1, where a line of the runner's output tells it."""
    told = _told(line)
    found = None if told is None else told.get("progress")
    return float(found) if isinstance(found, int | float) else None


def parse_status(stdout: str, *, device: str) -> dict[str, Any] | None:
    """The runner's answer.

    Args:
      stdout: all that it wrote; other programs' lines between are passed over.
      device: for messages.

    Returns:
      its status line, with "results", "golden" and what computed; None where there is no status line: the runner didn't
      start or was ended itself, and the transport must say why.

    Raises:
      EdgepackError: the runner told a failure, one of `FAILURES`; a signal's number is in `signal`.
      DeviceProtocolError: another version of it answered.
    """
    lines = [told for line in stdout.splitlines() if (told := _told(line)) is not None and "status" in told]
    if not lines:
        return None
    status = lines[-1]
    if status["status"] != "ok":
        raise _failure(status, device)
    if not isinstance(status.get("results"), list):
        raise errors.DeviceProtocolError(
            f"{device}: the runner's answer has no results; another version of it answered"
        )
    return status


def measurements(status: Mapping[str, Any]) -> list[Measurement]:
    """The results of a "time" session, one for each model."""
    return [
        Measurement.of(found, sha256=sha256, circumstances=_circumstances(status, found))
        for sha256, found in zip(status["sha256"], status["results"], strict=True)
    ]


def comparison(status: Mapping[str, Any]) -> Comparison:
    """The result of a "time_pair" session."""
    (found,), (a, b) = status["results"], status["sha256"]
    return Comparison.of(
        found, a_sha256=a, b_sha256=b, circumstances=_circumstances(status, found), seed=status["seed"]
    )


def timed_each(status: Mapping[str, Any]) -> tuple[list[list[float]], Circumstances]:
    """The result of a "time_each" session, as `latency_table.measure_table` wants it."""
    (found,) = status["results"]
    return found["p10_ns"], _circumstances(status, found)


def _circumstances(status: Mapping[str, Any], found: Mapping[str, Any]) -> Circumstances:
    return Circumstances.of(
        found,
        runtime=status["runtime"],
        version=status["version"],
        kernels=status["kernels"],
        threads=status["threads"],
        delegate=status["delegate"],
    )


def _told(line: str) -> dict[str, Any] | None:
    if not line.startswith(PREFIX):
        return None
    try:
        told = json.loads(line[len(PREFIX) :])
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _failure(status: Mapping[str, Any], device: str) -> errors.EdgepackError:
    message = f"{device}: {str(status.get('message'))[:LONGEST_TOLD]}"
    kind, number = str(status.get("kind")), status.get("signal")
    raised = FAILURES.get(kind, errors.ChildCrashError)
    if issubclass(raised, errors.ChildCrashError):
        return raised(message, cause=kind, signal=number if isinstance(number, int) else None)
    return raised(message)
