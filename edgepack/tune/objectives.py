"""What a search makes small, what it must not exceed, and which point of the front is taken."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from edgepack import device, errors
from edgepack.device import Device
from edgepack.recipe import Recipe, Tune, limits
from edgepack.records import Json

Measured: TypeAlias = Mapping[str, float | None]
"""Quantity → its value in one trial."""

UNITS: Final = {
    "drop": "",
    "delivered_bytes": "B",
    "file_bytes": "B",
    "flash_bytes": "B",
    "latency_ms": "ms",
    "arena_bytes": "B",
    "macs": "",
}
TABLE: Final = "x86-64"
"""Latency table for a search without a device."""
SIZES: Final = ("delivered_bytes", "file_bytes", "flash_bytes")
UNUSABLE_DROP: Final = 0.2
"""Where no limit says otherwise, a larger drop is worth nothing."""


@dataclass(frozen=True, kw_only=True)
class Objectives:
    """Of one study.

    Attributes:
      names: what is made small; "drop" among them or not.
      limits: quantity → the most that it may be.
      table: latency table by which times are told; None where times play no part.
      choose: the recipe's rule.
    """

    names: tuple[str, ...]
    limits: Mapping[str, float]
    table: str | None
    choose: str

    def values(self, measured: Measured) -> list[float]:
        """The objectives of one trial."""
        return [float(measured[name] or 0.0) for name in self.names]

    def missed(self, measured: Measured) -> dict[str, float]:
        """Limits that a trial misses → by how much."""
        return {
            name: value - limit
            for name, limit in self.limits.items()
            if (value := measured.get(name)) is not None and value > limit * (1 + 1e-12) + 1e-12
        }

    def chosen(self, points: Sequence[Sequence[float]]) -> int:
        """Which of the points of a front the rule takes; ties go to the least of the other objectives.

        Args:
          points: objectives of each, at least one.
        """
        found = np.array(points, np.float64)
        if self.choose == "knee":
            low, span = found.min(axis=0), np.ptp(found, axis=0)
            far = ((found - low) / np.where(span > 0, span, 1.0)) ** 2
            return int(np.argmin(far.sum(axis=1)))
        costs = [place for place, name in enumerate(self.names) if name != "drop"]
        wanted = self.names.index("drop") if self.choose == "most_accurate" else (costs or [0])[0]
        rest = [place for place in range(len(self.names)) if place != wanted]
        return min(range(len(found)), key=lambda n: (found[n, wanted], *found[n, rest]))

    def to_json(self) -> list[dict[str, Json]]:
        """For tune.json."""
        return [
            {
                "name": name,
                "unit": UNITS[name],
                "direction": "minimize",
                "limit": limit if math.isfinite(limit := self.limits.get(name, math.inf)) else None,
            }
            for name in self.names
        ]


def objectives_of(recipe: Recipe, settings: Tune, target: Device | None) -> Objectives:
    """What the recipe and the device ask for.

    Args:
      recipe: of any trial: what is left open is no limit.

    Raises:
      RecipeError: a rule of choice without its objective.
      DeviceError: times are asked for and there is no table of measured ops.
    """
    budget = limits(recipe, target)
    found: dict[str, float | None] = {
        "drop": budget.max_drop,
        "delivered_bytes": budget.max_delivered_bytes,
        "file_bytes": budget.max_file_bytes,
        "flash_bytes": budget.max_flash_bytes,
        "latency_ms": budget.max_latency_ms,
        "macs": budget.max_macs,
        "arena_bytes": target.budget_ram_bytes if target is not None else None,
    }
    wanted = {name: float(limit) for name, limit in found.items() if limit is not None}
    names = settings.objectives or _default(wanted, target)
    if settings.choose == "most_accurate" and "drop" not in names:
        raise errors.RecipeError(
            f'{recipe.path}: [tune] choose = "most_accurate" needs "drop" among the objectives'
        )
    table = None
    if "latency_ms" in names or "latency_ms" in wanted:
        table = _table(recipe, target)
    return Objectives(names=tuple(names), limits=wanted, table=table, choose=settings.choose)


def reference(objectives: Objectives, seen: Any) -> Any:
    """The point from which volumes are counted: the limits, and where there is none the worst that was seen.

    Args:
      seen: [n, objectives], measured or predicted.
    """
    worst = np.asarray(seen, np.float64).max(axis=0)
    for place, name in enumerate(objectives.names):
        limit = objectives.limits.get(name, math.inf)
        if name == "drop":
            worst[place] = limit if limit <= 1.0 else UNUSABLE_DROP
        else:
            worst[place] = min(limit, worst[place] * 1.01)
    return worst


def _default(wanted: Mapping[str, float], target: Device | None) -> tuple[str, ...]:
    sizes = [name for name in SIZES if name in wanted]
    if not sizes:
        sizes = [f"{target.budgeted_size}_bytes" if target is not None else SIZES[0]]
    return ("drop", sizes[0], *(name for name in ("latency_ms",) if name in wanted))


def _table(recipe: Recipe, target: Device | None) -> str:
    name = TABLE if target is None else target.latency_table
    if name is None:
        assert target is not None
        raise errors.DeviceError(
            f"device {target.name!r} has no latency_table, and a search needs one to tell times reproducibly; name "
            "other [tune] objectives and no latency limit, or measure a table: python -m "
            "edgepack.benchmark.latency_table"
        )
    device.latency_model(name, beside=recipe.directory)
    return name
