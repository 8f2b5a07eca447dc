"""The search of a joint plan for a target: plans, what really came of them, and what that taught about the prediction."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from edgepack import errors, gate
from edgepack.numerics import allocation, layer_statistics
from edgepack.numerics.rate_rounding import Per
from edgepack.pipeline.joint_choices import Table, tables
from edgepack.pipeline.joint_point import Maker, Point
from edgepack.recipe import Target
from edgepack.records import Json

Kind: TypeAlias = Literal["weights", "macs"]
"""What a structure may have too much of."""
STRUCTURAL: Final[Mapping[str, Kind]] = {
    "file_bytes": "weights",
    "flash_bytes": "weights",
    "macs": "macs",
    "latency_ms": "macs",
}
"""Limits that rounding cannot help, and what they fall with."""
MOST_POINTS: Final = 8
TRIES: Final = 5
"""Points that a byte budget may take to be met."""
NEAR: Final = 0.97
"""A point that uses this share of a byte budget is not tried to be moved closer to it."""
AIM: Final = 0.99
"""What is aimed at once a first point corrected the prediction."""
ASIDE: Final = (0.85, 1.2)
"""Further points, as multiples of the byte budget: what less and more bytes would have given."""
FILE_BYTES, KERNEL_BYTES, PREDICTED_RATIO = 300.0, 100.0, 1.03
"""What a file takes beside the codes of its kernels, until the first point is weighed."""
EVEN: Final = (128, 64, 48, 32, 24, 16, 12, 8, 6, 4)
"""Values in a kernel that are tried where all kernels are treated alike."""
CODED: Final = 0.95
"""Bits that a value takes, delivered, as a share of what as many equally frequent values take."""
EVEN_TRIES: Final = 3
"""Points that it may take to come within the bytes."""
LEAST_STEP: Final = 0.05
"""Where only the drop is limited: two sizes closer than this are not told apart."""


class Search:
    """Points made so far, and what they taught about the prediction of bytes."""

    def __init__(self, target: Target, maker: Maker) -> None:
        self._target, self.maker = target, maker
        self.points: list[Point] = []
        self._tables: dict[Per, dict[str, Table]] = {per: self._scored(per) for per in self._scalings()}
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
        for _ in range(TRIES):
            point = self._at(goal)
            if NEAR * limit <= point.weighed.sizes.delivered_bytes <= limit:
                break
            goal = AIM * limit
        for factor in ASIDE if aside else ():
            self._at(limit * factor)

    def surplus(self) -> dict[Kind, float]:
        """How many times too much the structure costs, told by a real point: the finest, or one of the wanted bytes."""
        structural = {name: limit for name, limit in self._target.limits().items() if name in STRUCTURAL}
        found: dict[Kind, float] = {}
        if structural:
            costs = self._at(self._target.delivered_bytes or math.inf).costs()
            for name, limit in structural.items():
                kind = STRUCTURAL[name]
                found[kind] = max(found.get(kind, 0.0), costs[name] / limit)
        return found

    def even(self, clustered: Callable[[int, Per], Point]) -> list[Point]:
        """Plain clustering within the wanted bytes, all kernels alike, for the case that the predicted errors mislead.

        They do in small networks that are sensitive everywhere, and no plan may be worse than what is simpler.

        Args:
          clustered: the point of so many values in every kernel, scaled so.
        """
        limit = self._target.delivered_bytes
        if limit is None:
            return []
        facts = gate.layer_facts(gate.read(self.maker.observed.candidate.path, custom=self.maker.custom))
        weights = sum(kernel.array.size for layer in facts for kernel in layer.kernels)
        a_bit, most = CODED * weights / 8, self._room(float(limit))
        found: dict[int, Point] = {}
        values = next((each for each in EVEN if a_bit * math.log2(each) <= most), None)
        while values is not None and values not in found and len(found) < EVEN_TRIES:
            found[values] = clustered(values, self._per)
            size = found[values].weighed.sizes.delivered_bytes
            a_bit = size / math.log2(values)  # from now on by what was found
            values = next((each for each in EVEN if a_bit * math.log2(each) <= limit), None)
        return list(found.values())

    def _scored(self, per: Per) -> dict[str, Table]:
        """The choices of every kernel, computed once."""
        observed = self.maker.observed

        def make(directory: Path) -> Json:
            assert observed.statistics is not None
            facts = gate.layer_facts(gate.read(observed.candidate.path, custom=self.maker.custom))
            found = tables(facts, layer_statistics.read(observed.statistics), per)
            return {name: table.to_json() for name, table in found.items()}

        parts: dict[str, Json] = {
            "candidate": observed.candidate.sha256,
            "statistics": observed.sha256,
            "per": per,
        }
        record: dict[str, Any] = self.maker.workspace.produce("score choices", parts, make).record
        return {name: Table.from_json(told) for name, told in record.items()}

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
        self._add(point)
        return point

    def _add(self, point: Point) -> None:
        """One point may be judged while the next is made, and no more: each takes a processor and memory."""
        if self.points:
            _ = self.points[-1].metric
        self.points.append(point)

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
                ratio = min(max(slope, 0.8), 2.0)  # brotli gains less than entropy where zeros are many
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
    return min(within, key=lambda point: (point.metric.drop, point.weighed.sizes.delivered_bytes))


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
