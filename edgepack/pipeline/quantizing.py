"""The Keras model becomes .tflite files: the float baseline and the one that ships."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgepack import tflite
from edgepack.data import Dataset
from edgepack.pipeline.workspace import Workspace
from edgepack.records import Artifact, Candidate, Json, LedgerEntry
from edgepack.stages.quantize import Quantize, QuantizeResult
from edgepack.stages.search import Judgement

MODEL = "model.tflite"


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """A .tflite with what its making told.

    Attributes:
      ids: inputs that are int32 because they hold ids.
      stateful: variables must be reset between samples.
      remedy: the rung of the ladder that worked.
      worst: the layers that lose most, in words, where the budget was missed.
      twin: a file with the same tensors whose kernels are the candidate's own, where those of `artifact` are a previous
        release's.
    """

    artifact: Artifact
    notes: tuple[LedgerEntry, ...]
    ids: tuple[str, ...]
    stateful: bool
    remedy: str
    worst: tuple[str, ...] = ()
    twin: Artifact | None = None

    @property
    def searched(self) -> Artifact:
        """The file in which the candidate's kernels are found by their content."""
        return self.twin or self.artifact


@dataclass(frozen=True, kw_only=True)
class Accept:
    """How a converted model is judged before the ladder is left.

    Attributes:
      judge: what was found about an artifact.
      key: what the judgement depends on, for the store.
    """

    judge: Callable[[Artifact], Judgement]
    key: Json


def float_baseline(candidate: Candidate, calibration: Dataset | None, workspace: Workspace) -> Artifact:
    """The source model as a float32 .tflite, as the converter writes it: sizes and latency are compared with it.

    Args:
      calibration: tells the size of free dimensions.
    """
    return quantized(
        "float .tflite", candidate, Quantize(scheme="float32", slim=False), calibration, workspace
    ).artifact


def quantized(
    name: str,
    candidate: Candidate,
    settings: Quantize,
    calibration: Dataset | None,
    workspace: Workspace,
    *,
    seed: int = 0,
    float_permitted: bool = True,
    accept: Accept | None = None,
    promised: Collection[str] = (),
) -> Quantized:
    """Converts a candidate, remedies included.

    Args:
      name: the step as the user sees it.
      float_permitted: False where the device cannot run float ops.
      accept: judges an artifact; its `key` says what the judgement depends on.
      promised: layers whose kernels are searched for in the file.
    """

    def make(directory: Path) -> Json:
        result = settings.apply(
            workspace.backend,
            candidate.path,
            directory / MODEL,
            calibration,
            seed=seed,
            allow_float=None if float_permitted else False,
            accept=accept.judge if accept else None,
            promised=promised,
        )
        return _stored(result)

    parts: dict[str, Json] = {
        "candidate": candidate.sha256,
        "settings": settings.model_dump(mode="json"),
        "calibration": calibration.sha256 if calibration else None,
        "seed": seed,
        "float_permitted": float_permitted,
        "accept": accept.key if accept else None,
        "promised": [*sorted(promised)],
    }
    entry = workspace.produce(name, parts, make, tensorflow=True)
    record: dict[str, Any] = entry.record
    return Quantized(
        artifact=tflite.adopt(entry.files[MODEL]),
        notes=tuple(LedgerEntry(**note) for note in record["notes"]),
        ids=tuple(record["ids"]),
        stateful=record["stateful"],
        remedy=record["remedy"],
        worst=tuple(record["worst"]),
    )


def _stored(result: QuantizeResult) -> Json:
    return {
        "notes": [asdict(note) for note in result.notes],
        "ids": list(result.ids),
        "stateful": result.stateful,
        "remedy": result.details.get("remedy", "plain"),
        "worst": list(result.worst),
    }
