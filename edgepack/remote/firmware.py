"""What a microcontroller's firmware tells: the runner's status line, in numbers of its own.

``edgepack-runner {"status": "ok", …}`` with

- ``arena_bytes``, ``runs``, ``p50_us``: always
- ``p10_us``, ``p90_us``, ``min_us``, ``max_us``, ``mean_us``, ``clock_hz``, and the words ``runtime``,
  ``version``, ``board``: where it has them
- ``model_sha256``: of the model inside, where it was compiled in with one

or ``edgepack-runner {"status": "failed", "kind": …, "message": …}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from edgepack import errors
from edgepack.benchmark.runner import PREFIX
from edgepack.records import Json

NEEDED: Final = ("arena_bytes", "runs", "p50_us")
NUMBERS: Final = (*NEEDED, "p10_us", "p90_us", "min_us", "max_us", "mean_us", "clock_hz")
WORDS: Final = ("runtime", "version", "board")
MOST: Final = 1e15


def status_in(line: str) -> dict[str, Any] | None:
    """The object of a final status line; None where the line is none."""
    _, found, text = line.partition(PREFIX)
    try:
        told = json.loads(text) if found else None
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) and "status" in told else None


def checked(told: Mapping[str, Any], where: str, *, sha256: str) -> dict[str, Json]:
    """A firmware's numbers, nothing else than agreed among them.

    Args:
      sha256: of the model that should be inside.

    Raises:
      DeviceProtocolError: a number is missing or is none. ChildCrashError: it tells a failure.
      TransferError: it runs another model.
    """
    if told["status"] != "ok":
        raise errors.ChildCrashError(f"{where}: the firmware says: {str(told.get('message', told))[:500]}")
    inside = told.get("model_sha256")
    if inside is not None and inside != sha256:
        raise errors.TransferError(
            f"{where}: the board runs another model: its SHA-256 is {str(inside)[:64]}, expected {sha256}; flash it"
        )
    for key in NUMBERS:
        value = told.get(key)
        wrong = isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MOST
        if wrong and (key in NEEDED or value is not None):
            raise errors.DeviceProtocolError(
                f'{where}: the firmware tells "{key}" as {value!r}; expected a number'
            )
    numbers: dict[str, Json] = {key: told[key] for key in NUMBERS if told.get(key) is not None}
    words: dict[str, Json] = {key: str(told[key])[:100] for key in WORDS if told.get(key) is not None}
    return {"sha256": sha256, "model_checked": inside is not None, **numbers, **words}
