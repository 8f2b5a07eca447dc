"""The plan that follows from `[target]`: one price for error and bytes decides for every kernel of the model.

Every kernel's choices are scored in loss units and in bytes (`joint_choices`); the knapsack over them is solved for
a budget (`numerics.allocation`); the plan is really carried out, converted and weighed; what was predicted is corrected
by what was found, and the next plan meets the budget. A handful of real points make the Pareto front, of which the
best within the target ships.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from edgepack.data import Dataset
from edgepack.numerics.rate_rounding import Per
from edgepack.pipeline.joint_choices import parted
from edgepack.pipeline.joint_point import Judge, Maker, Point
from edgepack.pipeline.joint_search import Kind, Search, best_of
from edgepack.pipeline.observing import observed
from edgepack.pipeline.steps import Worked, totals, totals_entry
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe, Target
from edgepack.records import Claim, Json, LedgerEntry
from edgepack.stages.quantize import Quantize

STAGE: Final = "joint plan"
Shares: TypeAlias = Mapping[Kind, float]
"""What of the weights and of the multiply-adds is kept; 1 where there is nothing to keep to."""
PerLayer: TypeAlias = Literal["channel", "layer"]
"""Whether a channel or a whole kernel shares its values."""
MOST_STRUCTURES: Final = 6
OTHER_SHARE: Final = 0.6
"""Share of the weights that is kept where factorizing is tried for the sake of accuracy."""
LEAST_SHARE, SHARE_AIM = 0.05, 0.97
"""Share that factorizing keeps at least, and how far below the limit the next structure aims."""
LEAST_SLOPE: Final = 1e-3
"""How fast a limit is taken to fall with the share, at least."""
LARGEST_LEAP: Final = 0.3
"""No structure keeps less than this share of the one before it."""


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """Points that were made of one model."""

    maker: Maker
    points: Sequence[Point]
    basis: Worked


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
    judge: Judge,
    factorized: Callable[[Shares], Worked],
    clustered: Callable[[int, PerLayer], Worked],
) -> tuple[Planned, Worked]:
    """Plans for what the stages left.

    Structure first: as long as a limit is missed that rounding cannot help (the file, multiply-adds, time), the layers
    are factorized together to a smaller share of their weights. Where the delivered bytes alone cost accuracy, one
    factorized structure is tried beside the whole one: fewer weights, each of them finer.

    Args:
      judge: compares an artifact with the original model, while the next one is made.
      factorized: `worked` with so much of its weights and multiply-adds kept, at the ranks at which the model loses least.
      clustered: `worked` with so many values in every kernel, or in every channel of it.

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
            judge=judge,
            custom=recipe.model.custom,
            timed=target.latency_ms is not None,
        )
        return Search(target, maker)

    shares: dict[Kind, float] = {"weights": 1.0, "macs": 1.0}
    basis = worked
    made: list[_Tried] = []
    seen: dict[Kind, list[tuple[float, float]]] = {"weights": [], "macs": []}
    for _ in range(MOST_STRUCTURES):
        search = search_on(basis)
        made.append(_Tried(maker=search.maker, points=search.points, basis=basis))
        missed = {kind: surplus for kind, surplus in search.surplus().items() if surplus > 1.0}
        if not missed:
            search.run()
            break
        for kind, surplus in missed.items():
            seen[kind].append((shares[kind], surplus))
            shares[kind] = _next_share(seen[kind])
        basis = factorized(shares)
    if not any(seen.values()) and target.delivered_bytes is not None:
        made += _evenly(search, clustered)
        if _strained(target, [point for tried in made for point in tried.points]):
            basis = factorized({"weights": OTHER_SHARE, "macs": 1.0})
            search = search_on(basis)
            search.run(aside=False)
            made.append(_Tried(maker=search.maker, points=search.points, basis=basis))
    return _settled(target, recipe, made)


def _next_share(seen: Sequence[tuple[float, float]]) -> float:
    """Share at which the limits are expected to be met, by the last two that were tried.

    A file holds more than the weights that can be factorized, and the work of a model more than theirs.

    Args:
      seen: (share, how many times too much the structure cost), at least one.
    """
    share, surplus = seen[-1]
    slope = 1.0
    if len(seen) > 1 and seen[-2][0] > share:
        before, cost = seen[-2]
        slope = max(LEAST_SLOPE, math.log(cost / surplus) / math.log(before / share))
    wanted = share * math.exp(math.log(SHARE_AIM / surplus) / slope)
    return max(LEAST_SHARE, wanted, LARGEST_LEAP * share)


def _evenly(search: Search, clustered: Callable[[int, PerLayer], Worked]) -> list[_Tried]:
    """Models of which every kernel has as many values, as a plan beside the others."""
    bases: list[Worked] = []

    def point(values: int, per: Per) -> Point:
        bases.append(clustered(values, _claimed(per)))
        return search.maker.of(bases[-1].candidate, per, promised={claim.layer for claim in bases[-1].claims})

    points = search.even(point)
    return [
        _Tried(maker=search.maker, points=[each], basis=basis)
        for each, basis in zip(points, bases, strict=True)
    ]


def _strained(target: Target, points: Sequence[Point]) -> bool:
    """Whether the best point loses more than chance explains."""
    return best_of(target, points).metric.interval[0] > 0.0


def _settled(target: Target, recipe: Recipe, made: Sequence[_Tried]) -> tuple[Planned, Worked]:
    every = [point for tried in made for point in tried.points]
    chosen = best_of(target, every)
    maker, basis = next((tried.maker, tried.basis) for tried in made if chosen in tried.points)
    front = tuple(sorted(every, key=lambda point: point.weighed.sizes.delivered_bytes))
    found = Planned(
        chosen=chosen,
        front=front,
        settings=maker.quantize(chosen.per),
        refinable=maker.settings.model_copy(update={"weights": chosen.per, "equalize": False}),
        claims=_claims(chosen),
        keep=_keep(chosen),
        ledger=(*maker.observed.notes, *_ledger(chosen, front)),
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


def _claimed(per: Per) -> PerLayer:
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
