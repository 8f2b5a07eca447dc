"""What a build answers: one record, the same on screen, in ``--json`` and in ``build.json``.

The schema is "edgepack.build/1"; the README lists its fields. Fields are added, never renamed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from edgepack.records import Invariant, Json, LedgerEntry, Sizes

SCHEMA: Final = "edgepack.build/1"


@dataclass(frozen=True, kw_only=True)
class MetricResult:
    """The metric of the float model and of the .tflite on the same evaluation samples.

    Attributes:
      drop: positive when the .tflite is worse; absolute for scores, relative for mae and mse.
      interval: 95 % paired bootstrap interval of the drop.
      agreement: share of samples with the same argmax (None where there is no argmax).
    """

    name: str
    float_value: float
    tflite_value: float
    drop: float
    interval: tuple[float, float]
    samples: int
    agreement: float | None
    outputs: dict[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        told = asdict(self)
        before, after = told.pop("float_value"), told.pop("tflite_value")
        return {"float": before, "tflite": after, **told, "interval": list(self.interval)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> MetricResult:
        """Inverse of `to_json`."""
        rest = {name: value for name, value in told.items() if name not in ("float", "tflite", "interval")}
        low, high = told["interval"]
        return cls(float_value=told["float"], tflite_value=told["tflite"], interval=(low, high), **rest)


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """What a .tflite costs.

    Attributes:
      macs: multiply-adds of one inference.
      parameters: constants that take part in it.
      latency_ms: as `benchmark.Measurement` has it; None where not measured.
    """

    sizes: Sizes
    macs: int
    parameters: int
    latency_ms: dict[str, Json] | None

    def to_json(self) -> dict[str, Json]:
        return {
            "sizes": asdict(self.sizes),
            "macs": self.macs,
            "parameters": self.parameters,
            "latency_ms": self.latency_ms,
        }


@dataclass(frozen=True, kw_only=True)
class PackageResult:
    """One device's package and the reasons for or against it."""

    device: str | None
    reasons: Sequence[str]
    package: Path | None
    tflite: Path | None
    metric: MetricResult | None
    weighed: Weighed | None
    baseline: Weighed | None
    invariants: Sequence[Invariant]
    ledger: Sequence[LedgerEntry]
    benchmark: dict[str, Json] | None = None
    flash: Mapping[str, Json] | None = None
    """What the device stores, with its RAM, operators and cycles, as `embedded.Compiled` tells it; None where that is
    the .tflite and nobody need ask."""
    emulated: Mapping[str, Json] | None = None
    """The same answers and the instructions of one inference on the emulated device; None where it was not tried."""
    digests: dict[str, str] = field(default_factory=dict)
    continuity: dict[str, Json] | None = None
    """The update from the previous package, as `continuing.Update` tells it."""
    budget: Mapping[str, Json] = field(default_factory=dict)
    """The limits it was held against: the recipe's and the device's, the tighter of both."""
    layers: Sequence[Mapping[str, Json]] = ()
    stages: Sequence[Mapping[str, Json]] = ()

    @property
    def passed(self) -> bool:
        return not self.reasons

    def to_json(self) -> dict[str, Any]:
        weighed = (
            self.weighed.to_json()
            if self.weighed
            else dict.fromkeys(("sizes", "macs", "parameters", "latency_ms"))
        )
        return {
            "device": self.device,
            "status": "passed" if self.passed else "failed",
            "reasons": list(self.reasons),
            "package": str(self.package) if self.package else None,
            "tflite": str(self.tflite) if self.tflite else None,
            "metric": self.metric.to_json() if self.metric else None,
            **weighed,
            "baseline": self.baseline.to_json() if self.baseline else None,
            "invariants": [asdict(item) for item in self.invariants],
            "ledger": [asdict(entry) for entry in self.ledger],
            "benchmark": self.benchmark,
            "flash": dict(self.flash) if self.flash is not None else None,
            "emulated": dict(self.emulated) if self.emulated is not None else None,
            "continuity": self.continuity,
            "sha256": self.digests,
            "budget": dict(self.budget),
            "layers": list(self.layers),
            "stages": list(self.stages),
        }


@dataclass(frozen=True, kw_only=True)
class BuildResult:
    """All packages of one run."""

    name: str
    version: str
    packages: Sequence[PackageResult]
    findings: Sequence[dict[str, str]]
    seconds: dict[str, float]
    versions: dict[str, str]
    pareto: Sequence[Mapping[str, Any]] = ()
    """The real points of the plan of `[target]`, by delivered bytes; () without one."""
    evidence: str | None = None
    """The file beside build.json with answers and samples, for reports."""

    @property
    def passed(self) -> bool:
        return all(package.passed for package in self.packages)

    def to_json(self) -> dict[str, Any]:
        """The documented object; the top level repeats the first package, status and reasons are of all."""
        packages = [package.to_json() for package in self.packages]
        return {
            "schema": SCHEMA,
            "name": self.name,
            "version": self.version,
            **packages[0],
            "status": "passed" if self.passed else "failed",
            "reasons": list(dict.fromkeys(reason for package in self.packages for reason in package.reasons)),
            "findings": list(self.findings),
            "pareto": list(self.pareto),
            "evidence": self.evidence,
            "seconds": sum(self.seconds.values()),
            "step_seconds": self.seconds,
            "versions": self.versions,
            "packages": packages,
        }


def failure(error: Exception, seconds: float) -> dict[str, Any]:
    """The same object for a build that ended before it had a model."""
    empty = PackageResult(
        device=None,
        reasons=[str(error)],
        package=None,
        tflite=None,
        metric=None,
        weighed=None,
        baseline=None,
        invariants=(),
        ledger=(),
    ).to_json()
    return {"schema": SCHEMA, **empty, "error": type(error).__name__, "seconds": seconds, "packages": []}
