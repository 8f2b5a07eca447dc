"""The one line in which every runner tells its result: ``edgepack-runner {…}``, a JSON object.

Of edgepack's own runner (Python, see `edgepack/runtime/runner.py`):

- ``{"progress": 0 … 1}`` now and then
- ``{"status": "ok", "runtime", "version", "kernels", "threads", "python", "sha256": [of each model],
  "golden": [of each model, null where it has none], "results": [what was measured]}``
- ``{"status": "failed", "kind", "message"}``, where kind is one of `FAILURES`

Of a microcontroller's firmware, which has one model inside and no Python:

- ``{"status": "ok", "model_sha256" (may be absent), "arena_bytes", "runs", "p50_us", "p10_us", "p90_us", "min_us",
  "max_us", "mean_us" (those that it has), "runtime", "version", "clock_hz"}``
- ``{"status": "failed", "kind", "message"}``
"""

from __future__ import annotations

import json
from typing import Any, Final

from edgepack import errors
from edgepack.remote.job import Ran

PREFIX: Final = "edgepack-runner "
FAILURES: Final[dict[str, type[errors.EdgepackError]]] = {
    "wrong-python": errors.PythonVersionError,
    "missing-runtime": errors.MissingWheelError,
    "hash": errors.TransferError,
    "golden": errors.GateError,
    "delegate": errors.DeviceError,
    "model": errors.ModelError,
    "disk": errors.DeviceStorageError,
    "memory": errors.DeviceMemoryError,
    "signal": errors.DeviceSignalError,
    "timeout": errors.DeviceTimeoutError,
    "request": errors.DeviceProtocolError,
    "crash": errors.ChildCrashError,
}
"""Kind of a failure → what it is here, each with an exit code of its own."""
WHEELS: Final = "; install it in the Python that [connection] python names: pip install ai-edge-litert numpy"


def status_of(ran: Ran, where: str) -> dict[str, Any]:
    """What a runner told at its end.

    Raises:
      DeviceError, GateError, ModelError, ChildCrashError: it told a failure.
      DeviceProtocolError: it told nothing, or something else than agreed.
    """
    lines = [line for line in ran.output.splitlines() if line.startswith(PREFIX)]
    finals = [told for line in lines if (told := line_of(line)) is not None and "status" in told]
    if not finals:
        words = " | ".join(ran.last_words.split("\n")[-3:]).strip()
        raise errors.DeviceProtocolError(
            f"{where}: the runner ended with code {ran.code} and told no result{': ' + words if words else ''}"
        )
    return checked(finals[-1], where)


def line_of(line: str) -> dict[str, Any] | None:
    """The object of one line; None where the line is no runner's."""
    _, found, text = line.partition(PREFIX)
    if not found:
        return None
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def checked(told: dict[str, Any], where: str) -> dict[str, Any]:
    """A final status that says "ok"; raises as `status_of` does."""
    if told["status"] == "ok":
        return told
    kind, message = told.get("kind"), told.get("message")
    if told["status"] != "failed" or kind not in FAILURES or not isinstance(message, str):
        raise errors.DeviceProtocolError(f"{where}: the runner's status is not as agreed: {str(told)[:200]}")
    raise FAILURES[kind](f"{where}: {message}{WHEELS if kind == 'missing-runtime' else ''}")


def firmware_of(told: dict[str, Any], where: str, *, sha256: str | None) -> dict[str, Any]:
    """A firmware's final status, its numbers checked.

    Args:
      sha256: of the model that should be inside, where the firmware says which it has.

    Raises:
      DeviceProtocolError: a number is missing or none. TransferError: it runs another model.
    """
    checked(told, where)
    for key in ("arena_bytes", "runs", "p50_us"):
        value = told.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
            raise errors.DeviceProtocolError(
                f'{where}: the firmware told "{key}" as {value!r}; expected a number'
            )
    inside = told.get("model_sha256")
    if inside is not None and sha256 is not None and inside != sha256:
        raise errors.TransferError(
            f"{where}: the board runs another model: SHA-256 {inside}, expected {sha256}; flash it"
        )
    return told
