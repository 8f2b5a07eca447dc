"""One point of a joint plan made real: refitted, rounded, converted, slimmed, weighed and evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from edgepack import benchmark
from edgepack.data import Dataset
from edgepack.numerics.rate_rounding import Per
from edgepack.pipeline.joint_choices import parted
from edgepack.pipeline.observing import Observed
from edgepack.pipeline.quantizing import Quantized, quantized
from edgepack.pipeline.result import MetricResult, Weighed
from edgepack.pipeline.weighing import weighed
from edgepack.pipeline.workspace import Workspace
from edgepack.records import Artifact, Candidate, Json
from edgepack.stages.quantize import Quantize

CANDIDATE: Final = "candidate.h5"
SAMPLES: Final = 200
"""Calibration samples that a conversion looks at, where the recipe does not say: every point is converted."""

Plan = Mapping[str, float]
"""Kernel ("layer/role") → price of a bit; kernels that are not named stay as they are."""
Judge = Callable[[Artifact], Callable[[], MetricResult]]
"""Begins to compare an artifact with the original model; what it returns waits for the result."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A plan with what came of it.

    Attributes:
      plan: what was decided for each kernel; {} where a stage did it.
      per: how kernels are scaled in the .tflite.
      predicted_error: rise of the loss that the plan was chosen by; None without a plan.
      predicted_bytes: delivered, of the planned kernels alone.
      candidate: the Keras model.
      found: layer → zeros and distinct values, as the file holds them.
      judged: waits for the answers to the evaluation data, which another process computes, and compares them.
    """

    plan: Plan
    per: Per
    predicted_error: float | None
    predicted_bytes: float
    candidate: Candidate
    found: Mapping[str, Mapping[str, Json]]
    made: Quantized
    weighed: Weighed
    judged: Callable[[], MetricResult]
    latency_ms: float | None = None
    """p50 on this machine, where the target limits it."""

    @cached_property
    def metric(self) -> MetricResult:
        """What the .tflite loses; waits for it where that is not known yet."""
        return self.judged()

    def costs(self) -> dict[str, float]:
        """By the names of `[target]`."""
        sizes = self.weighed.sizes
        costs = {
            "delivered_bytes": float(sizes.delivered_bytes),
            "file_bytes": float(sizes.file_bytes),
            "flash_bytes": float(sizes.flash_bytes),
            "macs": float(self.weighed.macs),
        }
        return costs if self.latency_ms is None else {**costs, "latency_ms": self.latency_ms}

    def to_json(self, *, chosen: bool) -> dict[str, Json]:
        """The point in the ledger and in build.json."""
        return {
            "delivered_bytes": self.weighed.sizes.delivered_bytes,
            "file_bytes": self.weighed.sizes.file_bytes,
            "flash_bytes": self.weighed.sizes.flash_bytes,
            "macs": self.weighed.macs,
            "latency_ms": self.latency_ms,
            "metric": self.metric.tflite_value,
            "drop": self.metric.drop,
            "interval": list(self.metric.interval),
            "predicted_error": self.predicted_error,
            "scales": self.per,
            "chosen": chosen,
        }


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Makes points: everything that they have in common."""

    observed: Observed
    calibration: Dataset | None
    settings: Quantize
    seed: int
    float_permitted: bool
    workspace: Workspace
    judge: Judge
    custom: Sequence[str] = ()
    """The user's own layer classes, as the recipe names them."""
    timed: bool = False

    def point(self, plan: Plan, per: Per, *, predicted_error: float, predicted_bytes: float) -> Point:
        """Carries a plan out; what was made before is found in the store."""
        candidate, found = self._carried_out(plan, per)
        return replace(
            self.of(candidate, per, promised=found),
            plan=plan,
            predicted_error=predicted_error,
            predicted_bytes=predicted_bytes,
            found=found,
        )

    def of(self, candidate: Candidate, per: Per, *, promised: Iterable[str]) -> Point:
        """The point of a candidate whose weights are rounded and shared already.

        Args:
          promised: layers whose values must stay as they are.
        """
        made = quantized(
            "quantize",
            candidate,
            self.quantize(per),
            self.calibration,
            self.workspace,
            seed=self.seed,
            float_permitted=self.float_permitted,
            promised=set(promised),
        )
        return Point(
            plan={},
            per=per,
            predicted_error=None,
            predicted_bytes=0.0,
            candidate=candidate,
            found={},
            made=made,
            weighed=weighed(made.artifact, self.workspace),
            judged=self.judge(made.artifact),
            latency_ms=self._latency_ms(made.artifact) if self.timed else None,
        )

    def _latency_ms(self, artifact: Artifact) -> float:
        def make(directory: Path) -> Json:
            return benchmark.measure(artifact.path, sha256=artifact.sha256).latency_ms.p50

        latency: float = self.workspace.produce("time a point", {"tflite": artifact.sha256}, make).record
        return latency

    def quantize(self, per: Per) -> Quantize:
        """How points are converted: kernels as the plan scales them, and nothing that would move them off their grid."""
        settings = self.settings
        return settings.model_copy(
            update={
                "weights": per,
                "ranges": "minmax" if settings.ranges == "auto" else settings.ranges,
                "equalize": False,
                "correct_bias": settings.correct_bias is True,
                "samples": settings.samples or SAMPLES,
            }
        )

    def _carried_out(self, plan: Plan, per: Per) -> tuple[Candidate, dict[str, dict[str, Json]]]:
        layers: dict[str, dict[str, Json]] = {}
        for name, price in sorted(plan.items()):
            layer, role = parted(name)
            layers.setdefault(layer, {})[role] = price
        source = self.observed.candidate

        def make(directory: Path) -> Json:
            answer: dict[str, Any] = self.workspace.backend.call(
                "joint",
                source=str(source.path),
                target=str(directory / CANDIDATE),
                statistics=str(self.observed.statistics),
                calibration=None if self.calibration is None else self.calibration.to_json(),
                layers=dict(layers),
                per=per,
                seed=self.seed,
            )
            return {"layers": answer["layers"]}

        parts: dict[str, Json] = {
            "source": source.sha256,
            "statistics": self.observed.sha256,
            "calibration": self.calibration.sha256 if self.calibration else None,
            "layers": dict(layers),
            "per": per,
            "seed": self.seed,
        }
        entry = self.workspace.produce("refit and round", parts, make, tensorflow=True)
        return Candidate.at(entry.files[CANDIDATE]), entry.record["layers"]
