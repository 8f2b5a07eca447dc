"""The operation "finetune": training of its own, with the promises of earlier steps held."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepack.backend import rebuild
from edgepack.backend.epochs import Report
from edgepack.backend.found import answer
from edgepack.backend.training import fit
from edgepack.records import Json


def finetune(
    *,
    source: str,
    target: str,
    keep: Mapping[str, Mapping[str, Any]],
    training: Mapping[str, Any],
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Writes `target`: `source` trained on, its promised zeros and clusters exactly as many as before.

    Args:
      source, target: candidates.
      keep, training, seed, report: see `training.fit`.

    Returns:
      See `found.answer`; "layers" are those of `keep`.
    """
    model = rebuild.load(Path(source))
    notes: list[dict[str, Json]] = []
    history = fit(model, training, keep, seed, report, notes=notes)
    rebuild.save(model, Path(target))
    return answer(Path(target), keep, notes=notes, history=history)
