"""The plan that follows from `[target]`: one price for error and bytes decides for every kernel of the model.

Every kernel's choices are scored in loss units and in bytes (`joint_choices`); the knapsack over them is solved for
a budget (`numerics.allocation`); the plan is really carried out, converted and weighed; what was predicted is corrected
by what was found, and the next plan meets the budget. A handful of real points make the Pareto front, of which the
best within the target ships.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from edgepack.data import Dataset
from edgepack.numerics.rate_rounding import Per
from edgepack.pipeline.joint_choices import parted
from edgepack.pipeline.joint_point import Evaluate, Maker, Point
from edgepack.pipeline.joint_search import Search, best_of
from edgepack.pipeline.observing import observed
from edgepack.pipeline.steps import Worked, totals, totals_entry
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe, Target
from edgepack.records import Claim, Json, LedgerEntry
from edgepack.stages.quantize import Quantize

STAGE: Final = "joint plan"
MOST_STRUCTURES: Final = 4
OTHER_SHARE: Final = 0.6
"""Share of the weights that is kept where factorizing is tried for the sake of accuracy."""
LEAST_SHARE, SHARE_AIM = 0.05, 0.97
"""Share of the weights that factorizing keeps at least, and how far below the limit the next structure aims."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What the plan came to.

    Attributes:
      chosen: the point that ships: the best within the target, else the nearest to it.
      front: all points, by delivered bytes.
      settings: how its candidate is to be converted, also after further training.
      refinable: the same where int8 loses too much: with the refinements that leave kernels on their grids.
      claims: what the exported file must show.
      keep: what further training must hold, by layer.
      ledger: what was decided, and the front.
    """

    chosen: Point
    front: tuple[Point, ...]
    settings: Quantize
    refinable: Quantize
    claims: tuple[Claim, ...]
    keep: Mapping[str, Mapping[str, Json]]
    ledger: tuple[LedgerEntry, ...]

    def front_json(self) -> list[dict[str, Json]]:
        """The front as build.json has it."""
        return [point.to_json(chosen=point is self.chosen) for point in self.front]


def carried_out(
    target: Target,
    recipe: Recipe,
    worked: Worked,
    calibration: Dataset | None,
    workspace: Workspace,
    *,
    float_permitted: bool,
    judge: Evaluate,
    factorized: Callable[[float], Worked],
) -> tuple[Planned, Worked]:
    """Plans for what the stages left.

    Structure first: as long as a limit is missed that rounding cannot help (the file, multiply-adds, time), the layers
    are factorized together to a smaller share of their weights. Where the delivered bytes alone cost accuracy, one
    factorized structure is tried beside the whole one: fewer weights, each of them finer.

    Args:
      judge: compares an artifact with the original model.
      factorized: `worked` with so large a share of its weights kept, at the ranks at which the model loses least.

    Returns:
      The plan, and what it was carried out on with its candidate, claims and ledger.
    """

    def search_on(basis: Worked) -> Search:
        maker = Maker(
            observed=observed(basis.candidate, calibration, workspace, seed=recipe.seed),
            calibration=calibration,
            settings=recipe.quantize,
            seed=recipe.seed,
            float_permitted=float_permitted,
            workspace=workspace,
            evaluate=judge,
            custom=recipe.model.custom,
            timed=target.latency_ms is not None,
        )
        return Search(target, maker)

    share, basis = 1.0, worked
    made: list[tuple[Search, Worked]] = []
    for _ in range(MOST_STRUCTURES):
        made.append((search_on(basis), basis))
        surplus = made[-1][0].surplus()
        if surplus <= 1.0:
            made[-1][0].run()
            break
        share = max(LEAST_SHARE, share / surplus * SHARE_AIM)
        basis = factorized(share)
    if share == 1.0 and target.delivered_bytes is not None and _strained(target, made[0][0]):
        basis = factorized(OTHER_SHARE)
        made.append((search_on(basis), basis))
        made[-1][0].run(aside=False)
    return _settled(target, recipe, made)


def _strained(target: Target, search: Search) -> bool:
    """Whether the best point loses more than chance explains."""
    return best_of(target, search.points).metric.interval[0] > 0.0


def _settled(target: Target, recipe: Recipe, made: Sequence[tuple[Search, Worked]]) -> tuple[Planned, Worked]:
    every = [point for search, _ in made for point in search.points]
    chosen = best_of(target, every)
    search, basis = next(each for each in made if chosen in each[0].points)
    front = tuple(sorted(every, key=lambda point: point.weighed.sizes.delivered_bytes))
    found = Planned(
        chosen=chosen,
        front=front,
        settings=search.maker.quantize(chosen.per),
        refinable=search.maker.settings.model_copy(update={"weights": chosen.per, "equalize": False}),
        claims=_claims(chosen),
        keep=_keep(chosen),
        ledger=(*search.maker.observed.notes, *_ledger(chosen, front)),
    )
    worked = replace(
        basis,
        candidate=chosen.candidate,
        claims=(*basis.claims, *found.claims),
        keep={**basis.keep, **found.keep},
        ledger=[*basis.ledger, *found.ledger, totals_entry(STAGE, totals(chosen.candidate.path, recipe))],
        passed=(*basis.passed, (STAGE, chosen.candidate)),
    )
    return found, worked


def _claims(point: Point) -> tuple[Claim, ...]:
    """Zeros and distinct values of each kernel, as found in the candidate."""
    claims = []
    for name in sorted(point.plan):
        layer, role = parted(name)
        kernels: Any = point.found[layer]["kernels"]
        found, per = kernels[role], _claimed(point.per)
        distinct = found["distinct_per_channel" if per == "channel" else "distinct"]
        claims.append(Claim(layer=layer, kind="clusters", wanted=float(distinct), per=per, role=role))
        if found["sparsity"] > 0:
            claims.append(Claim(layer=layer, kind="sparsity", wanted=float(found["sparsity"]), role=role))
    return tuple(claims)


def _claimed(per: Per) -> Literal["channel", "layer"]:
    """A plan's scaling in the words of claims and of training."""
    return "channel" if per == "channel" else "layer"


def _keep(point: Point) -> dict[str, dict[str, Json]]:
    per = _claimed(point.per)
    return {parted(name)[0]: {"zeros": True, "clusters": per} for name in sorted(point.plan)}


def _ledger(chosen: Point, front: Sequence[Point]) -> list[LedgerEntry]:
    lines = [
        LedgerEntry(stage=STAGE, layer=layer, action="acted", found=found)
        for layer, found in sorted(chosen.found.items())
    ]
    told: list[Json] = [point.to_json(chosen=point is chosen) for point in front]
    reason = (
        f"{len(front)} plans were carried out and evaluated on the evaluation data; the shipped one was chosen among "
        "them, so its metric is optimistic by as much as the points differ by chance"
    )
    return [*lines, LedgerEntry(stage=STAGE, layer="", action="note", reason=reason, found={"pareto": told})]
