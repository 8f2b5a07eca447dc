"""The open fields of a recipe as a search space: what Optuna draws from, and where a point lies in the unit cube."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from edgepack.recipe.open_fields import OpenField, Value

Array: TypeAlias = npt.NDArray[Any]
Values: TypeAlias = Mapping[str, Value]


@dataclass(frozen=True, kw_only=True)
class Space:
    """The fields in their order."""

    fields: tuple[OpenField, ...]

    def distributions(self) -> dict[str, BaseDistribution]:
        """As Optuna takes them."""
        return {field.name: _distribution(field) for field in self.fields}

    def size(self) -> float:
        """How many different points there are; infinite with a continuous range."""
        return math.prod(len(grid) if (grid := _grid(field)) else math.inf for field in self.fields)

    def every(self) -> list[dict[str, Value]]:
        """All points of a finite space."""
        grids = [_grid(field) or [] for field in self.fields]
        names = [field.name for field in self.fields]
        return [dict(zip(names, each, strict=True)) for each in itertools.product(*grids)]

    def drawn(self, draw: np.random.Generator, near: Values | None = None) -> dict[str, Value]:
        """A random point; where `near` is given, one that shares about half of its values and is close in the others."""
        point: dict[str, Value] = {}
        for field in self.fields:
            if near is not None and draw.random() < 0.5:
                point[field.name] = near[field.name]
                continue
            place = draw.random()
            if near is not None and not field.choices:
                place = float(np.clip(_place(field, near[field.name]) + 0.15 * draw.normal(), 0.0, 1.0))
            point[field.name] = _at(field, place)
        return point

    def unit(self, points: Sequence[Values]) -> Array:
        """Points in the unit cube: one column for a range or for choices that are numbers, else one for each choice.

        Returns:
          [points, columns] float64.
        """
        rows = [
            [each for field in self.fields for each in _columns(field, point[field.name])] for point in points
        ]
        columns = len([each for field in self.fields for each in _columns(field, _at(field, 0.0))])
        return np.array(rows, np.float64).reshape(len(points), columns)


def key(point: Values) -> tuple[tuple[str, Value], ...]:
    """What tells points apart."""
    return tuple(sorted(point.items()))


def _distribution(field: OpenField) -> BaseDistribution:
    if field.choices:
        return CategoricalDistribution([field.kept(choice) for choice in field.choices])
    assert field.low is not None and field.high is not None
    if field.whole:
        step = 1 if field.step is None else int(field.step)
        return IntDistribution(int(field.low), int(field.high), log=field.log, step=step)
    return FloatDistribution(float(field.low), float(field.high), log=field.log, step=field.step)


def _grid(field: OpenField) -> list[Value] | None:
    """All values of a field; None for a continuous range."""
    if field.choices:
        return [field.kept(choice) for choice in field.choices]
    assert field.low is not None and field.high is not None
    if field.step is None and not field.whole:
        return None
    step = field.step or 1
    count = math.floor((field.high - field.low) / step + 1e-9) + 1
    return [_stepped(field, number) for number in range(count)]


def _stepped(field: OpenField, number: int) -> Value:
    """The value so many steps above the lowest, without the noise of binary fractions."""
    assert field.low is not None
    if field.whole:
        return int(field.low) + number * int(field.step or 1)
    return round(float(field.low) + number * float(field.step or 1.0), 12)


def _at(field: OpenField, place: float) -> Value:
    """The value at a place 0 … 1 of a field."""
    grid = _grid(field)
    if grid is not None and not field.log:
        return grid[min(int(place * len(grid)), len(grid) - 1)]
    assert field.low is not None and field.high is not None
    low, high = float(field.low), float(field.high)
    value = low * (high / low) ** place if field.log else low + (high - low) * place
    value = min(max(value, low), high)
    return round(value) if field.whole else float(f"{value:.6g}")


def _place(field: OpenField, value: Value) -> float:
    """Where a value of a range lies, 0 … 1."""
    assert field.low is not None and field.high is not None and not isinstance(value, str)
    low, high = float(field.low), float(field.high)
    if field.log:
        return math.log(float(value) / low) / math.log(high / low)
    return (float(value) - low) / (high - low)


def _columns(field: OpenField, value: Value) -> list[float]:
    if not field.choices:
        return [_place(field, value)]
    kept = [field.kept(choice) for choice in field.choices]
    numbers = [each for each in kept if isinstance(each, int | float) and not isinstance(each, bool)]
    if len(numbers) == len(kept) and len(kept) > 1:
        return [sorted(numbers).index(value) / (len(kept) - 1)]  # type: ignore[arg-type]
    return [0.5 * float(value == each) for each in kept]
