"""The records of a resolved plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from edgepack.records import Claim, Json, LedgerEntry
from edgepack.stages import StageSettings

Action = Literal["acts", "left alone", "deferred", "lost", "made", "undecided"]
Order = Literal["pipeline", "strict"]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to run.

    Attributes:
      number: of the ``[[stage]]`` it comes from, counted from 1.
      settings: of that stage.
      deferred: whether it runs later than its place in the recipe says.
      layers: layer → parameters for the backend; {} for stages that act on the whole model.
      keep: layer → {"zeros": bool, "clusters": None | "channel" | "layer"}: what earlier steps promised and
        every training must hold.
      trains: whether it trains; otherwise it acts in one shot.
    """

    number: int
    settings: StageSettings
    deferred: bool = False
    layers: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    keep: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    trains: bool = False

    @property
    def title(self) -> str:
        """Such as "prune" or "prune (deferred)"."""
        return f"{self.settings.use} (deferred)" if self.deferred else self.settings.use

    def to_json(self) -> dict[str, Json]:
        """For `check --json` and cache keys: all that decides the step's result but its input files."""
        return {
            "stage": self.number,
            "use": self.settings.use,
            "deferred": self.deferred,
            "trains": self.trains,
            "settings": self.settings.model_dump(mode="json"),
            "layers": {layer: dict(parameters) for layer, parameters in self.layers.items()},
            "keep": {layer: dict(promise) for layer, promise in self.keep.items()},
        }


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What one stage means for one layer.

    Attributes:
      action: "acts"; "left alone"; "deferred" (to the factors, to after a prune, or to the student); "lost"
        (strict order: a later stage undoes it); "made" (the layer is a factor that this stage makes);
        "undecided" (at build).
      reason: why, or what exactly.
    """

    action: Action
    reason: str = ""
    parameters: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One layer, or one factor right under the layer that it replaces.

    Attributes:
      shape: of the first kernel; () where there is none.
      cells: by stage number.
    """

    layer: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    origin: str | None
    cells: Mapping[int, Cell]


@dataclass
class Promise:
    """What one layer must show from here on."""

    zeros: int | None = None
    """Number of the stage that made them."""
    sparsity: float | None = None
    """Where it is known in advance."""
    clusters: int | None = None
    distinct: int = 0
    per: str | None = None

    def to_keep(self) -> dict[str, Json]:
        return {"zeros": self.zeros is not None, "clusters": self.per}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A resolved recipe.

    Attributes:
      steps: what to run, in this order.
      rows: layer × stage, for people.
      claims: what the final file must show; claims with `wanted` None are filled in by `settle`.
      notes: lost promises and stages without work, for the ledger.
      later: stages (with their numbers) that act on layers which do not exist yet, a student's or factors whose
        ranks are decided at build; see `resume`.
      promises: what the steps leave to be held, by layer.
      order, has_training: as given to `resolve`.
    """

    steps: tuple[Step, ...]
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    notes: tuple[LedgerEntry, ...]
    later: tuple[tuple[int, StageSettings], ...] = ()
    promises: Mapping[str, Promise] = field(default_factory=dict)
    stages: tuple[tuple[int, StageSettings], ...] = ()
    order: Order = "pipeline"
    has_training: bool = False


def settle(
    claims: Sequence[Claim], found: Mapping[int, Mapping[str, Mapping[str, Json]]]
) -> tuple[Claim, ...]:
    """Fills in what only running could tell: the sparsity that a threshold or a global ranking gave each
    layer.

    Args:
      claims: of a plan.
      found: stage number → layer → values found after the stage's last step (`StageResult.layers`).

    Returns:
      Claims that all have a wanted value; a claim about which nothing was found is dropped.
    """
    ranks = {
        (stage, factor): {"rank": rank}
        for stage, layers in found.items()
        for values in layers.values()
        for factor, rank in _mapping(values.get("ranks")).items()
    }
    settled = []
    for claim in claims:
        if claim.wanted is not None:
            settled.append(claim)
            continue
        values = found.get(claim.stage, {}).get(claim.layer) or ranks.get((claim.stage, claim.layer), {})
        by_role = values.get("kernels")
        if isinstance(by_role, Mapping) and isinstance(own := by_role.get(claim.role), Mapping):
            values = own
        value = values.get(claim.kind)
        if isinstance(value, int | float) and value > 0:
            settled.append(replace(claim, wanted=float(value)))
    return tuple(settled)


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
