"""What every Keras-to-Keras stage has: frozen settings, a decision per layer, one `apply`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from edgepack.records import Claim, Json, LedgerEntry
from edgepack.stages.selectors import Selector
from edgepack.stages.training import Training

if TYPE_CHECKING:
    from edgepack.backend import Backend
    from edgepack.data import Dataset
    from edgepack.facts import Kernel, LayerFacts


class Step(Protocol):
    """What a stage needs of a plan step. `plan.Step` is one; stages never import the planner."""

    @property
    def layers(self) -> Mapping[str, Mapping[str, Json]]:
        """Parameters per layer that the step acts on."""

    @property
    def keep(self) -> Mapping[str, Mapping[str, Json]]:
        """Per layer what training must hold: {"zeros": bool, "clusters": None | "channel" | "layer"}."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A layer as a stage meets it while planning.

    Attributes:
      facts: of the layer; kernels of a factor that does not exist yet have a shape but no values.
      origin: for a factor, the layer that it came from.
      model_weights: kernel weights of the whole model.
      work_limit: multiply-adds that planning this layer may cost; None for no limit.
    """

    facts: LayerFacts
    origin: str | None = None
    model_weights: int
    work_limit: float | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a stage will do to one layer.

    Attributes:
      parameters: what the backend operation gets for this layer; None where the layer is left alone.
      reason: why it is left alone, or a remark on what is done.
      claims: what will hold in the exported file.
      undecided: it may act, but how is decided at build: the decision costs more than `Target.work_limit`.
      work: multiply-adds that the decision cost.
    """

    parameters: Mapping[str, Json] | None = None
    reason: str = ""
    claims: tuple[Claim, ...] = ()
    undecided: bool = False
    work: float = 0.0

    @property
    def acts(self) -> bool:
        return self.parameters is not None


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """What a stage found in the file that it wrote.

    Attributes:
      layers: layer → measured values (sparsity, distinct, rank, …).
      notes: layers left alone or changed, with the reason.
      history: one entry per epoch of training.
    """

    layers: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    notes: tuple[LedgerEntry, ...] = ()
    history: tuple[Mapping[str, Json], ...] = ()

    @classmethod
    def of(cls, stage: str, answer: Mapping[str, Any]) -> StageResult:
        """From the JSON that a backend stage operation returns."""
        return cls(
            layers=answer.get("layers", {}),
            notes=tuple(
                LedgerEntry(stage=stage, layer=note["layer"], action=note["action"], reason=note["reason"])
                for note in answer.get("notes", ())
            ),
            history=tuple(answer.get("history") or ()),
        )


class StageSettings(BaseModel):
    """Base of every ``[[stage]]``: which layers, and how to train afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    makes_new_architecture: ClassVar[bool] = False
    learns_from_source: ClassVar[bool] = False
    """Its teacher is the very candidate that it replaces, not the model as it was before compression."""
    needs_training_data: ClassVar[bool] = False
    keeps_normalizations: ClassVar[bool] = False
    """Gets the candidate as it is where others that use statistics get the folded one."""
    without_doubt: ClassVar[bool] = False
    """Its statistics take the model's answers for as certain as they look, see `numerics.layer_statistics.DOUBT`."""

    use: str
    layers: Selector = Field(default_factory=Selector)
    """Which layers: a glob, a list of globs, or a table."""
    train: Training = Field(default_factory=Training)
    """How to train after the stage has acted; false for one shot."""

    @property
    def uses_statistics(self) -> bool:
        """Whether `apply` wants the folded candidate and the layer statistics of the calibration data."""
        return False

    @property
    def decided_at_build(self) -> bool:
        """Whether only running the stage tells which layers there are after it; later stages are planned then."""
        return False

    @property
    def spans_workers(self) -> bool:
        """Whether it trains on several hosts at once, each of which runs the same build."""
        return self.train.on and self.train.strategy == "multiworker"

    def informed(self, *, trains: bool, calibrated: bool) -> StageSettings:
        """The stage with what is "auto" decided.

        Args:
          trains: whether the stage trains after it has acted.
          calibrated: whether the recipe has `[data.calibration]`.
        """
        return self

    def plan_layer(self, target: Target) -> Decision:
        """What the stage will do to a layer; nothing is changed. Stages that act on no layer leave all alone."""
        return Decision(reason="not a stage that acts on single layers")

    def selectors(self) -> tuple[Selector, ...]:
        """Every selector of the stage, to find globs that match nothing."""
        return (self.layers,)

    def apply(
        self,
        backend: Backend,
        source: Path,
        target: Path,
        step: Step,
        training: Dataset | None,
        seed: int,
        *,
        teacher: Path | None = None,
        validation: Dataset | None = None,
        calibration: Dataset | None = None,
        statistics: Path | None = None,
    ) -> StageResult:
        """Writes `target` from `source`, both candidates.

        Args:
          step: which layers, with which parameters, and what earlier steps promised.
          training: None for one shot.
          teacher: candidate that gives soft targets: the model before compression.
          calibration, statistics: samples without labels, and the file of `numerics.layer_statistics` of `source`
            on them; looked at by stages that use statistics, whose `source` is a folded candidate.

        Raises:
          EdgepackError: as `Backend.call`.
        """
        taught_by = source if self.learns_from_source else teacher
        own: dict[str, Any] = dict(self.request(step))
        if self.uses_statistics:
            own["statistics"] = None if statistics is None else str(statistics)
            own["calibration"] = None if calibration is None else calibration.to_json()
        answer = backend.call(
            self.use,
            source=str(source),
            target=str(target),
            keep=as_json(step.keep),
            training=self.training().request(training, teacher=taught_by, validation=validation),
            seed=seed,
            **own,
        )
        return StageResult.of(self.use, answer)

    def request(self, step: Step) -> dict[str, Json]:
        """What the backend operation needs beside files, promises, training and seed."""
        return {}

    def training(self) -> Training:
        """How the stage trains."""
        return self.train


def called_on(settings: StageSettings, target: Target) -> bool:
    """Whether the user named this layer or its kind, which overrides default caution."""
    return settings.layers.asks_for(target.facts.name, target.facts.kind, origin=target.origin)


def refusal(settings: StageSettings, target: Target) -> str | None:
    """Why the stage's selector leaves the layer out; None where it is in."""
    facts = target.facts
    return settings.layers.refusal(facts.name, facts.kind, facts.parameters, origin=target.origin)


def trivial_share(kernel: Kernel, target: Target) -> str | None:
    """Reason to leave a kernel alone that hardly counts: few weights, next to nothing of the model."""
    size, whole = kernel.size, target.model_weights
    if size >= SMALL_WEIGHTS or size > SMALL_SHARE * whole:
        return None
    return f"{size:,} of the model's {whole:,} weights ({size / whole:.1%}): nothing to gain, easily harmed"


SMALL_WEIGHTS = 512
"""Kernels with fewer weights are left alone where they are also a small share of the model."""
SMALL_SHARE = 0.02


def as_json(value: Mapping[str, Mapping[str, Json]]) -> dict[str, Json]:
    """Plain dicts, for a backend call."""
    return {layer: dict(parameters) for layer, parameters in value.items()}
