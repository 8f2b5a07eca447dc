"""The operation "finetune": training of its own, with the promises of earlier steps held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgepack.backend import learned_ranges, qat, rebuild, session
from edgepack.backend.epochs import Report
from edgepack.backend.found import answer
from edgepack.backend.training import fit
from edgepack.data import Dataset
from edgepack.records import Json

TITLE = "quantization-aware training"


def finetune(
    *,
    source: str,
    target: str,
    keep: Mapping[str, Mapping[str, Any]],
    training: Mapping[str, Any],
    seed: int,
    quantization_aware: bool = False,
    report: Report,
) -> dict[str, Any]:
    """Writes `target`: `source` trained on, its promised zeros and clusters exactly as many as before.

    Args:
      source, target: candidates.
      keep, training, seed, report: see `training.fit`.
      quantization_aware: train with int8 emulated (`qat`); the ranges learned go into the candidate.

    Returns:
      See `found.answer`; "layers" are those of `keep`.

    Raises:
      ModelError: quantization-aware, and no layer can be emulated.
    """
    model = rebuild.load(Path(source))
    notes: list[dict[str, Json]] = []
    if not quantization_aware:
        history = fit(model, training, keep, seed, report, notes=notes)
        rebuild.save(model, Path(target))
    else:
        session.seed_everything(seed)
        emulated = qat.emulation(model)
        emulated.settle(Dataset.from_json(dict(training["dataset"])))
        history = fit(
            emulated.model, training, keep, seed, report, emulation=emulated, notes=notes, title=TITLE
        )
        ranges = emulated.finish()
        rebuild.save(emulated.model, Path(target))
        learned_ranges.store(Path(target), ranges)
        notes += [dict(note) for note in emulated.notes]
        notes.append(_method(keep, emulated.emulated))
    return answer(Path(target), keep, notes=notes, history=history)


def _method(keep: Mapping[str, Mapping[str, Any]], emulated: Sequence[str]) -> dict[str, Json]:
    """What was run, by the name that the literature gives it."""
    zeros = any(promise.get("zeros") for promise in keep.values())
    clusters = any(promise.get("clusters") for promise in keep.values())
    name = f"{'P' if zeros else ''}{'C' if clusters else ''}QAT"
    reason = f"{name}: int8 emulated in {len(emulated)} layers; their ranges go to the converter"
    return {"layer": "", "action": "note", "reason": reason}
