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
from typing import Any, Final, Literal

from edgepack import errors, gate
from edgepack.data import Dataset
from edgepack.numerics import allocation, layer_statistics
from edgepack.numerics.rate_rounding import Per
from edgepack.pipeline.joint_choices import Table, parted, tables
from edgepack.pipeline.joint_point import Evaluate, Maker, Point
from edgepack.pipeline.observing import observed
from edgepack.pipeline.steps import Worked, totals, totals_entry
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe, Target
from edgepack.records import Claim, Json, LedgerEntry
from edgepack.stages.quantize import Quantize

STAGE: Final = "joint plan"
MOST_POINTS: Final = 8
MOST_STRUCTURES: Final = 4
OTHER_SHARE: Final = 0.6
"""Share of the weights that is kept where factorizing is tried for the sake of accuracy."""
LEAST_SHARE, SHARE_AIM = 0.05, 0.97
"""Share of the weights that factorizing keeps at least, and how far below the limit the next structure aims."""
NEAR: Final = 0.97
"""A point that uses this share of a byte budget is not tried to be moved closer to it."""
AIM: Final = 0.99
"""What is aimed at once a first point corrected the prediction."""
ASIDE: Final = (0.85, 1.2)
"""Further points, as multiples of the byte budget: what less and more bytes would have given."""
FILE_BYTES, KERNEL_BYTES, PREDICTED_RATIO = 300.0, 100.0, 1.03
"""What a file takes beside the codes of its kernels, until the first point is weighed."""
LEAST_STEP: Final = 0.05
"""Where only the drop is limited: two sizes closer than this are not told apart."""


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

    def search_on(basis: Worked) -> _Search:
        maker = Maker(
            observed=observed(basis.candidate, calibration, workspace, seed=recipe.seed),
            calibration=calibration,
            settings=recipe.quantize,
            seed=recipe.seed,
            float_permitted=float_permitted,
            workspace=workspace,
            evaluate=judge,
            timed=target.latency_ms is not None,
        )
        return _Search(target, maker)

    share, basis = 1.0, worked
    made: list[tuple[_Search, Worked]] = []
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


def _strained(target: Target, search: _Search) -> bool:
    """Whether the best point loses more than chance explains."""
    return best_of(target, search.points).metric.interval[0] > 0.0


def _settled(
    target: Target, recipe: Recipe, made: Sequence[tuple[_Search, Worked]]
) -> tuple[Planned, Worked]:
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
    )
    return found, worked


class _Search:
    """Points made so far, and what they taught about the prediction of bytes."""

    def __init__(self, target: Target, maker: Maker) -> None:
        self._target, self.maker = target, maker
        self.points: list[Point] = []
        facts = gate.layer_facts(gate.read(maker.observed.candidate.path))
        assert maker.observed.statistics is not None
        statistics = layer_statistics.read(maker.observed.statistics)
        self._tables: dict[Per, dict[str, Table]] = {
            per: tables(facts, statistics, per) for per in self._scalings()
        }
        if not any(table.prices[0] is not None for table in self._tables[self._per].values()):
            raise errors.ModelError(
                "[target]: no layer of the model can be planned for: none has layer statistics (Dense, convolutions); "
                "remove [target] and say the stages yourself"
            )

    def run(self, *, aside: bool = True) -> None:
        """Makes the points.

        Args:
          aside: those of other sizes than the target's, too.
        """
        limit = self._target.delivered_bytes
        if limit is None:
            if not self._target.limits():
                self._by_drop()
            return
        goal = float(limit)
        for _ in range(3):
            point = self._at(goal)
            if NEAR * limit <= point.weighed.sizes.delivered_bytes <= limit:
                break
            goal = AIM * limit
        for factor in ASIDE if aside else ():
            self._at(limit * factor)

    def surplus(self) -> float:
        """How many times too much the structure costs, told by a real point: the finest, or one of the wanted bytes."""
        structural = {
            name: limit for name, limit in self._target.limits().items() if name != "delivered_bytes"
        }
        if not structural:
            return 0.0
        costs = self._at(self._target.delivered_bytes or math.inf).costs()
        return max(costs[name] / limit for name, limit in structural.items())

    def _scalings(self) -> tuple[Per, ...]:
        asked = self.maker.settings.weights
        return ("tensor", "channel") if asked == "auto" else (asked,)

    @property
    def _per(self) -> Per:
        """How kernels are scaled: decided by the first point."""
        return self.points[0].per if self.points else next(iter(self._tables))

    def _by_drop(self) -> None:
        """Finds the smallest size within the drop: outward from the middle until it is enclosed, then halved."""
        limit = self._target.max_accuracy_drop
        assert limit is not None
        finest = allocation.totals(choices := self._choices(self._per), allocation.allocate(choices, {}))[
            "delivered_bytes"
        ]
        small, large = 0.0, 0.0
        goal = 0.5 * (finest + self._overhead())
        while len(self.points) < MOST_POINTS:
            before = len(self.points)
            point = self._at(goal)
            size = float(point.weighed.sizes.delivered_bytes)
            if point.metric.drop <= limit:
                large = min(large or size, size)
            else:
                small = max(small, size)
            if len(self.points) == before or (small and large and large <= small * (1 + LEAST_STEP)):
                return
            goal = (small * large) ** 0.5 if small and large else large * 0.8 if large else small * 1.25

    def _at(self, goal: float) -> Point:
        """The point that is expected to take so many delivered bytes."""
        per, picked, totals = min(
            (self._allocated(per, goal) for per in ([self._per] if self.points else self._tables)),
            key=lambda each: (each[2]["delivered_bytes"] > self._room(goal), each[2]["error"]),
        )
        plan = {
            name: price
            for name, position in picked.items()
            if (price := self._tables[per][name].prices[position]) is not None
        }
        for point in self.points:
            if point.plan == plan and point.per == per:
                return point
        point = self.maker.point(
            plan, per, predicted_error=totals["error"], predicted_bytes=totals["delivered_bytes"]
        )
        self.points.append(point)
        return point

    def _allocated(self, per: Per, goal: float) -> tuple[Per, dict[str, int], dict[str, float]]:
        choices = self._choices(per)
        picked = allocation.allocate(choices, {"delivered_bytes": self._room(goal)})
        return per, picked, allocation.totals(choices, picked)

    def _choices(self, per: Per) -> dict[str, list[allocation.Choice]]:
        return {name: table.choices() for name, table in self._tables[per].items()}

    def _room(self, goal: float) -> float:
        """Predicted bytes of kernels that really lead to a file of `goal` bytes, as far as is known."""
        ratio, offset = PREDICTED_RATIO, self._overhead()
        if self.points:
            by_distance = sorted(self.points, key=lambda p: abs(p.weighed.sizes.delivered_bytes - goal))
            first = by_distance[0]
            apart = [p for p in by_distance[1:] if abs(p.predicted_bytes / first.predicted_bytes - 1) > 0.02]
            if apart:
                found = first.weighed.sizes.delivered_bytes - apart[0].weighed.sizes.delivered_bytes
                slope = found / (first.predicted_bytes - apart[0].predicted_bytes)
                ratio = min(max(slope, 0.8), 1.3)
            offset = first.weighed.sizes.delivered_bytes - ratio * first.predicted_bytes
        return max(1.0, (goal - offset) / ratio)

    def _overhead(self) -> float:
        """What the file holds beside the kernels, before any was made."""
        return FILE_BYTES + KERNEL_BYTES * len(self._tables[self._per])


def best_of(target: Target, points: Sequence[Point]) -> Point:
    """The best point within the target, or the one that comes nearest."""
    within = [point for point in points if not missed(target, point)]
    if not within:
        return min(points, key=lambda point: max(missed(target, point).values()))
    if not target.limits():
        return min(within, key=lambda point: point.weighed.sizes.delivered_bytes)
    return min(within, key=lambda point: (point.metric.drop, point.predicted_error))


def missed(target: Target, point: Point) -> dict[str, float]:
    """Limits of the target that a point misses → by which share."""
    costs = point.costs()
    found = {
        name: costs[name] / limit - 1.0
        for name, limit in target.limits().items()
        if name in costs and costs[name] > limit
    }
    drop = target.max_accuracy_drop
    if drop is not None and point.metric.drop > drop + 1e-12:
        found["max_accuracy_drop"] = point.metric.drop / max(drop, 1e-3) - 1.0
    return found


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
