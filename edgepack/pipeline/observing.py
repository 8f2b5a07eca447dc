"""What data-aware stages get: the folded candidate, and statistics of its layers on the calibration data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepack.data import Dataset
from edgepack.numerics import layer_statistics
from edgepack.pipeline.workspace import Workspace
from edgepack.records import Candidate, Json, LedgerEntry, file_sha256

SAMPLES = 1024
"""Calibration samples that the statistics look at, at most."""
FOLDED, STATISTICS = "folded.h5", "statistics.npz"


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A candidate as a stage gets it.

    Attributes:
      candidate: folded, where statistics were asked for.
      statistics: file of `numerics.layer_statistics`; None where none were asked for.
      sha256: of that file, for cache keys.
      notes: kernels without statistics, and why; whether the inputs were only made up.
    """

    candidate: Candidate
    statistics: Path | None = None
    sha256: str | None = None
    notes: tuple[LedgerEntry, ...] = ()


def observed(
    candidate: Candidate,
    calibration: Dataset | None,
    workspace: Workspace,
    *,
    seed: int,
    doubt: float = layer_statistics.DOUBT,
) -> Observed:
    """The folded candidate with its statistics, both found again in the store.

    Args:
      calibration: None for made-up inputs (standard normal; ids uniform), which the notes call unverified.
      seed: of sampled labels and positions.
      doubt: share of a uniform guess in what labels are sampled from.
    """
    folded = _folded(candidate, workspace)

    def make(directory: Path) -> Json:
        return workspace.backend.call(
            "statistics",
            source=str(folded.path),
            target=str(directory / STATISTICS),
            calibration=None if calibration is None else calibration.to_json(),
            seed=seed,
            samples=SAMPLES,
            doubt=doubt,
        )

    parts: dict[str, Json] = {
        "source": folded.sha256,
        "calibration": calibration.sha256 if calibration else None,
        "seed": seed,
        "samples": SAMPLES,
        "doubt": doubt,
        "fields": list(layer_statistics.FIELDS),
    }
    entry = workspace.produce("layer statistics", parts, make, tensorflow=True)
    record: dict[str, Any] = entry.record
    notes = tuple(
        LedgerEntry(
            stage="layer statistics", layer=note["layer"], action=note["action"], reason=note["reason"]
        )
        for note in record["notes"]
    )
    path = entry.files[STATISTICS]
    return Observed(candidate=folded, statistics=path, sha256=file_sha256(path), notes=notes)


def _folded(candidate: Candidate, workspace: Workspace) -> Candidate:
    def make(directory: Path) -> Json:
        return workspace.backend.call("fold", source=str(candidate.path), target=str(directory / FOLDED))

    entry = workspace.produce("fold", {"source": candidate.sha256}, make, tensorflow=True)
    return Candidate.at(entry.files[FOLDED])
