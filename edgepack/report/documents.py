"""What `build.json` and a package's manifest say, as typed records: files that anyone may have written.

Both hold the same fields for one model; keys that this edgepack does not know are passed over, those it needs and does
not find are None or empty, and the page says what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

Found = dict[str, Any]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Sizes(_Document):
    """Bytes of a .tflite: see `records.Sizes`."""

    file_bytes: int
    delivered_bytes: int
    flash_bytes: int


class Metric(_Document):
    """The metric of the float model and of the .tflite: see `pipeline.result.MetricResult`."""

    name: str
    float_value: float = Field(alias="float")
    tflite_value: float = Field(alias="tflite")
    drop: float
    interval: tuple[float, float]
    samples: int
    agreement: float | None = None
    outputs: dict[str, Found] = Field(default_factory=dict)


class Weighed(_Document):
    """What a .tflite costs: see `pipeline.result.Weighed`."""

    sizes: Sizes | None = None
    macs: int | None = None
    parameters: int | None = None
    latency_ms: dict[str, Any] | None = None


class Promise(_Document):
    """See `records.Invariant`."""

    layer: str = ""
    kind: str
    wanted: float | str | None = None
    found: float | str | None = None
    holds: bool
    reason: str = ""


class LedgerLine(_Document):
    """See `records.LedgerEntry`."""

    stage: str
    layer: str = ""
    action: str
    reason: str = ""
    found: Found = Field(default_factory=dict)


class LayerLine(_Document):
    """One weighted layer of the shipped model, as `pipeline.layers` found it.

    Attributes:
      tensors: numbers of the constants in the .tflite that hold its kernels; () where they were not found again.
      baseline_tensors: the same in the float .tflite, of the layer that it came from.
    """

    layer: str
    kind: str
    shape: tuple[int, ...] = ()
    parameters: int = 0
    sparsity: float | None = None
    distinct: int | None = None
    rank: int | None = None
    origin: str = ""
    tensors: tuple[int, ...] = ()
    baseline_tensors: tuple[int, ...] = ()


class StageLine(_Document):
    """Where the Keras side stood after one stage, as `pipeline.trail` measured it."""

    stage: str
    estimated_bytes: int | None = None
    metric: float | None = None
    samples: int | None = None
    parameters: int | None = None
    sparsity: float | None = None
    distinct_per_channel: int | None = None


class Update(_Document):
    """The way from the previous release: see `pipeline.continuing.Update`."""

    previous: str
    delta_bytes: int
    full_bytes: int
    method: str = ""
    kept: float = 0.0


class Packaged(Weighed):
    """One device's model."""

    device: str | None = None
    status: str = "failed"
    reasons: tuple[str, ...] = ()
    package: str | None = None
    tflite: str | None = None
    metric: Metric | None = None
    baseline: Weighed | None = None
    invariants: tuple[Promise, ...] = ()
    ledger: tuple[LedgerLine, ...] = ()
    benchmark: dict[str, Any] | None = None
    sha256: dict[str, str] = Field(default_factory=dict)
    budget: dict[str, Any] = Field(default_factory=dict)
    layers: tuple[LayerLine, ...] = ()
    stages: tuple[StageLine, ...] = ()
    labels: tuple[str, ...] = ()
    remedy: str | None = None
    continuity: Update | None = None
    emulated: Found | None = None

    @field_validator("device", mode="before")
    @classmethod
    def _name(cls, value: Any) -> Any:
        """A manifest has the whole profile, build.json its name."""
        return value.get("name") if isinstance(value, Mapping) else value

    @property
    def passed(self) -> bool:
        return self.status == "passed"


class Point(_Document):
    """A plan that was carried out: see `pipeline.joint_point.Point`."""

    delivered_bytes: int
    file_bytes: int | None = None
    macs: int | None = None
    latency_ms: float | None = None
    metric: float
    drop: float
    interval: tuple[float, float] | None = None
    predicted_error: float | None = None
    scales: str = ""
    chosen: bool = False


class Finding(_Document):
    """See `data.Finding`."""

    level: str
    text: str


class Build(_Document):
    """The whole of `build.json`."""

    edgepack_schema: str = Field(alias="schema")
    name: str = ""
    version: str = ""
    status: str
    reasons: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    pareto: tuple[Point, ...] = ()
    seconds: float = 0.0
    step_seconds: dict[str, float] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    packages: tuple[Packaged, ...] = ()
    evidence: str | None = None
    error: str | None = None


class Objective(_Document):
    """See `tune.objectives`."""

    name: str
    unit: str = ""
    limit: float | None = None


class Trial(_Document):
    """One trial of a search: see `tune.result`."""

    number: int
    state: str
    params: Found = Field(default_factory=dict)
    values: tuple[float, ...] | None = None
    reasons: tuple[str, ...] = ()
    error: str | None = None


class Tune(_Document):
    """The whole of `tune.json`."""

    name: str = ""
    version: str = ""
    status: str = "failed"
    reasons: tuple[str, ...] = ()
    objectives: tuple[Objective, ...] = ()
    trials: tuple[Trial, ...] = ()
    front: tuple[int, ...] = ()
    chosen: int | None = None
    sampler: str = ""
    seconds: float = 0.0
