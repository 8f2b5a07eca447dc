"""Why a package is this big, this slow and this accurate, and what would help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from edgepack import errors, tflite
from edgepack.explain.suggestions import Progress, Suggestion, compressed, suggestions
from edgepack.explain.trial import trial
from edgepack.report import noise
from edgepack.report.anatomy import Part, latency_table, op_times, parts
from edgepack.report.documents import Metric, Packaged, StageLine
from edgepack.report.material import File, Material, collected
from edgepack.report.subject import Subject, opened

SCHEMA: Final = "edgepack.explain/1"


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """What one layer costs.

    Attributes:
      delivered_bytes: of its kernels after brotli, each by itself.
      file_bytes: kernels, biases, scales and zero points.
      latency_ms: predicted by the table of measured ops; None without one.
      noise_db: signal over the noise that its answers have against the float model's; None where nobody could look.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    delivered_bytes: int
    file_bytes: int
    macs: int
    latency_ms: float | None
    noise_db: float | None
    sparsity: float | None
    distinct: int | None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The answer.

    Attributes:
      overhead: bytes of the file that are no layer's, by what they serve.
      delivered_overhead: delivered bytes that no kernel accounts for.
      table: name of the latency table; None without.
      ops_ms: op → predicted milliseconds of all such ops.
      missing: what this subject cannot tell, and how to have it told.
    """

    title: str
    device: str | None
    file_bytes: int
    delivered_bytes: int
    layers: Sequence[LayerCost]
    overhead: dict[str, int]
    delivered_overhead: int
    table: str | None
    predicted_ms: float | None
    ops_ms: dict[str, float]
    metric: Metric | None
    stages: Sequence[StageLine]
    suggestions: Sequence[Suggestion]
    missing: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "title": self.title,
            "device": self.device,
            "file_bytes": self.file_bytes,
            "delivered_bytes": self.delivered_bytes,
            "layers": [asdict(layer) for layer in self.layers],
            "overhead": self.overhead,
            "delivered_overhead": self.delivered_overhead,
            "latency": {"table": self.table, "predicted_ms": self.predicted_ms, "ops_ms": self.ops_ms},
            "metric": self.metric.model_dump(mode="json", by_alias=True) if self.metric else None,
            "stages": [stage.model_dump(mode="json") for stage in self.stages],
            "suggestions": [suggestion.to_json() for suggestion in self.suggestions],
            "missing": list(self.missing),
        }


def silent(text: str, fraction: float | None) -> None:
    """Shows no progress."""


def explained(path: Path, *, device: str | None = None, progress: Progress = silent) -> Explanation:
    """Explains a RUN (the folder with build.json) or a package.

    Args:
      device: which of a run's packages; the first where None.
      progress: receives how far the trial of the suggestions is.

    Raises:
      BadInputError: nothing that can be explained: no such file, damaged, or a build that made no model.
    """
    subject = opened(path)
    packaged = _chosen(subject, device)
    with collected(subject, packaged) as material:
        if material.shipped is None:
            raise errors.BadInputError(
                f"{path}: holds no .tflite any more (its package was moved or the build failed); build again, or give the "
                "package itself"
            )
        return _explained(subject, material, material.shipped, progress)


def _chosen(subject: Subject, device: str | None) -> Packaged:
    named = [packaged for packaged in subject.packages if device in (None, packaged.device)]
    if not named:
        known = ", ".join(str(packaged.device or "no device") for packaged in subject.packages)
        raise errors.BadInputError(
            f"{subject.path}: has no package for {device!r}; it has {known or 'none: the build failed'}"
        )
    return named[0]


def _explained(subject: Subject, material: Material, shipped: File, progress: Progress) -> Explanation:
    found, packaged, model = parts(material), material.packaged, shipped.model
    data = shipped.path.read_bytes()
    compared = noise.pairs(material, found)
    noisy = {} if isinstance(compared, str) else {pair.layer: pair.sqnr_db for pair in compared}
    layers = [_cost(model, part, noisy.get(part.layer)) for part in found]
    table = latency_table(packaged)
    times = op_times(model, packaged)
    delivered = compressed(data)
    held = sum(layer.file_bytes for layer in layers)
    ledger = tflite.byte_ledger(model)
    outside = {name: size for name, size in ledger.items() if name not in ("weights", "quantization")}
    outside["other weights and scales"] = max(0, len(data) - held - sum(outside.values()))
    usable = table[1] if table is not None and times else None
    return Explanation(
        title=subject.title,
        device=packaged.device,
        file_bytes=len(data),
        delivered_bytes=delivered,
        layers=sorted(layers, key=lambda layer: -layer.delivered_bytes),
        overhead={name: size for name, size in outside.items() if size},
        delivered_overhead=delivered - sum(layer.delivered_bytes for layer in layers),
        table=table[0] if table is not None and usable is not None else None,
        predicted_ms=sum(times.values()) + usable.invoke_us / 1e3 if usable is not None else None,
        ops_ms=_by_name(model, times),
        metric=packaged.metric,
        stages=packaged.stages,
        suggestions=suggestions(data, model, found, usable, trial(material), progress),
        missing=() if material.evidence is not None else (material.without_evidence,),
    )


def _cost(model: tflite.Model, part: Part, noise_db: float | None) -> LayerCost:
    stored = [model.value(model.main.tensors[index]) for index in part.kernels]
    return LayerCost(
        layer=part.layer,
        kind=part.kind,
        shape=part.shape,
        delivered_bytes=sum(compressed(array.tobytes()) for array in stored if array is not None),
        file_bytes=part.size_bytes,
        macs=part.macs,
        latency_ms=part.predicted_ms,
        noise_db=noise_db,
        sparsity=part.sparsity,
        distinct=part.distinct,
    )


def _by_name(model: tflite.Model, times: dict[int, float]) -> dict[str, float]:
    found: dict[str, float] = {}
    for number, milliseconds in times.items():
        name = model.main.ops[number].name
        found[name] = found.get(name, 0.0) + milliseconds
    return dict(sorted(found.items(), key=lambda item: -item[1]))
