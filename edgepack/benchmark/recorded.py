"""A measurement now beside one that was written down: only in the same environment."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepack import errors
from edgepack.benchmark.measurement import Measurement
from edgepack.durable import storage_errors
from edgepack.records import Json

DIFFERENT = {
    "runtime": "runtime", "kernels": "kernels", "threads": "number of threads", "delegate": "delegate",
    "machine": "architecture", "cpu": "processor", "cores": "number of cores",
}  # fmt: skip
MOST_BYTES = 1 << 26
"""A result with every power reading of an hour is smaller."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """Time of a measurement over a recorded one; they didn't take turns, so no interval can be told.

    Attributes:
      measurement: the one now.
      recorded_sha256: the model of the other.
      recorded_p50_ms: its median.
      ratio: of the medians, now by then.
      same_model: whether both are the same file.
    """

    measurement: Measurement
    recorded_sha256: str
    recorded_p50_ms: float
    ratio: float
    same_model: bool

    def to_json(self) -> dict[str, Json]:
        told: dict[str, Json] = {
            "recorded_sha256": self.recorded_sha256,
            "recorded_p50_ms": self.recorded_p50_ms,
            "ratio": self.ratio,
            "same_model": self.same_model,
            "interleaved": False,
        }
        return {**self.measurement.to_json(), **told}


def beside(measured: Measurement, file: Path) -> Beside:
    """Puts a measurement beside the result that `edgepack bench --json` wrote into a file.

    Raises:
      BadInputError: the file is no such result, or of another environment; names what differs.
      StorageError: it cannot be read.
    """
    document = read(file)
    here = measured.circumstances.environment
    there = _environment(document)
    differing = [name for name in here if here[name] != there[name]]
    if differing:
        told = "; ".join(
            f"{DIFFERENT[name]} {there[name]!r} there, {here[name]!r} here" for name in differing
        )
        raise errors.BadInputError(
            f"{file}: was measured in another environment ({told}); the two cannot be compared. "
            "Measure both here: edgepack bench A --against B with both files"
        )
    p50_ms = float(document["latency_ms"]["p50"])
    return Beside(
        measurement=measured,
        recorded_sha256=str(document["sha256"]),
        recorded_p50_ms=p50_ms,
        ratio=measured.latency_ms.p50 / p50_ms,
        same_model=document["sha256"] == measured.sha256,
    )


def read(file: Path) -> dict[str, Any]:
    """A result of one model as `edgepack bench --json` writes it, checked for what a comparison needs."""
    with storage_errors(file), file.open("rb") as opened:
        content = opened.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise errors.BadInputError(f"{file}: is larger than a result of 'edgepack bench --json' can be")
    try:
        document = json.loads(content)
        p50_ms = float(document["latency_ms"]["p50"])
        whole = document["schema"] == "edgepack.bench/1" and 0 < p50_ms < float("inf")
        _environment(document), document["sha256"]
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise errors.BadInputError(
            f"{file}: is no result of one model from 'edgepack bench --json': {error!r}"
        ) from error
    if not whole:
        raise errors.BadInputError(f"{file}: is no result of one model from 'edgepack bench --json'")
    return dict(document)


def _environment(document: dict[str, Any]) -> dict[str, str]:
    found = {name: str(document[name]) for name in DIFFERENT}
    return {**found, "runtime": f"{document['runtime']} {document['version']}"}
