"""One choice per layer so that the whole fits its budget and loses least: a multiple-choice knapsack.

Solved by Lagrangian relaxation (Everett, 1963, "Generalized Lagrange multiplier method"; Shoham and Gersho, 1988, for bit
allocation): for prices λ every layer takes, on its own, the choice of least error + λ · cost; λ is bisected until
the budget holds, and what is left of it is spent greedily. The error exceeds the best possible by no more than
the largest single step between two choices of a layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Picked = Mapping[str, int]
"""Layer → position of its choice."""

_DOUBLINGS = 400
_HALVINGS = 60
_LEAST = 1e-9
"""Stands for a limit of 0 where something is divided by it."""
_ROUNDS = 24
"""Of weighting several budgets against each other."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One way to treat a layer.

    Attributes:
      error: expected rise of the loss; errors of layers add up.
      costs: by the name of the cost, such as {"delivered_bytes": 812.5}; they add up as well.
    """

    error: float
    costs: Mapping[str, float] = field(default_factory=dict)


Choices = Mapping[str, Sequence[Choice]]


def allocate(choices: Choices, budget: Mapping[str, float]) -> dict[str, int]:
    """The choices of least error whose costs fit every budget.

    Args:
      choices: layer → at least one choice.
      budget: cost name → limit; a cost that a choice does not name is 0.

    Returns:
      Layer → position of the choice. Where nothing fits, the choices that come nearest: with the least largest
      ratio of cost to limit that was met. `fits` tells the two apart.

    Example:
      >>> whole, half = Choice(error=0.0, costs={"bytes": 100}), Choice(error=1.0, costs={"bytes": 50})
      >>> picked = allocate({"a": [whole, half], "b": [whole, Choice(error=0.1, costs={"bytes": 60})]}, {"bytes": 170})
      >>> picked, totals({"a": [whole, half], "b": [whole, half]}, {"a": 1, "b": 0})["bytes"]
      ({'a': 0, 'b': 1}, 150.0)
    """
    table = _Table.of(choices, tuple(budget))
    limits = np.array([float(budget[name]) for name in budget])
    if not limits.size:
        return table.named(table.cheapest(limits))
    weights = np.ones_like(limits)
    best: npt.NDArray[np.intp] | None = None
    nearest: tuple[float, npt.NDArray[np.intp]] | None = None
    for _ in range(_ROUNDS if limits.size > 1 else 1):
        picked = _bisected(table, limits, weights)
        ratio = _ratios(table.cost(picked), limits)
        if nearest is None or ratio.max() < nearest[0]:
            nearest = (float(ratio.max()), picked)
        if ratio.max() <= 1.0:
            filled = _filled(table, picked, limits)
            if best is None or table.loss(filled) < table.loss(best):
                best = filled
        # A budget that binds gets a higher price, one with room to spare a lower one.
        weights = weights * np.clip(ratio, 1e-3, 1e3) ** 2
        weights = np.maximum(weights / weights.max(), 1e-9)
    assert nearest is not None
    return table.named(nearest[1] if best is None else best)


def priced(choices: Choices, prices: Mapping[str, float]) -> dict[str, int]:
    """The choices of least error + Σ price · cost: one point of the lower convex hull of error against cost.

    Example:
      >>> layer = [Choice(error=0.0, costs={"bytes": 100}), Choice(error=1.0, costs={"bytes": 50})]
      >>> [priced({"a": layer}, {"bytes": price})["a"] for price in (0.01, 0.1)]
      [0, 1]
    """
    table = _Table.of(choices, tuple(prices))
    return table.named(table.cheapest(np.array([float(prices[name]) for name in prices])))


def totals(choices: Choices, picked: Picked) -> dict[str, float]:
    """Sum of every cost over the picked choices, and of the error under the name "error"."""
    found: dict[str, float] = {"error": 0.0}
    for layer, position in picked.items():
        choice = choices[layer][position]
        found["error"] += choice.error
        for name, cost in choice.costs.items():
            found[name] = found.get(name, 0.0) + float(cost)
    return found


def fits(choices: Choices, picked: Picked, budget: Mapping[str, float]) -> bool:
    """Whether the picked choices keep every budget.

    Example:
      >>> fits({"a": [Choice(error=0.0, costs={"bytes": 5})]}, {"a": 0}, {"bytes": 5})
      True
    """
    found = totals(choices, picked)
    return all(found.get(name, 0.0) <= limit * (1 + 1e-12) for name, limit in budget.items())


@dataclass(frozen=True)
class _Table:
    """The choices as arrays: per layer errors [c] and costs [c, k]."""

    layers: tuple[str, ...]
    errors: tuple[Vector, ...]
    costs: tuple[npt.NDArray[np.float64], ...]

    @classmethod
    def of(cls, choices: Choices, names: Sequence[str]) -> _Table:
        return cls(
            layers=tuple(choices),
            errors=tuple(
                np.array([choice.error for choice in each], np.float64) for each in choices.values()
            ),
            costs=tuple(
                np.array([[float(choice.costs.get(name, 0.0)) for name in names] for choice in each]).reshape(
                    len(each), len(names)
                )
                for each in choices.values()
            ),
        )

    def cheapest(self, prices: Vector) -> npt.NDArray[np.intp]:
        """Per layer the choice of least error + prices · cost; of equal ones the one that costs less."""
        picked = []
        for errors, costs in zip(self.errors, self.costs, strict=True):
            score = errors + costs @ prices
            picked.append(np.lexsort((costs.sum(axis=1), score))[0])
        return np.array(picked, np.intp)

    def cost(self, picked: npt.NDArray[np.intp]) -> Vector:
        found: Vector = np.sum([costs[at] for costs, at in zip(self.costs, picked, strict=True)], axis=0)
        return np.atleast_1d(found)

    def loss(self, picked: npt.NDArray[np.intp]) -> float:
        return float(sum(errors[at] for errors, at in zip(self.errors, picked, strict=True)))

    def named(self, picked: npt.NDArray[np.intp]) -> dict[str, int]:
        return {layer: int(at) for layer, at in zip(self.layers, picked, strict=True)}


def _ratios(cost: Vector, limits: Vector) -> Vector:
    ratios: Vector = cost / np.maximum(limits, _LEAST)
    return ratios


def _bisected(table: _Table, limits: Vector, weights: Vector) -> npt.NDArray[np.intp]:
    """The choices at the lowest common price at which all budgets hold, or at the highest where none does."""

    def at(level: float) -> npt.NDArray[np.intp]:
        return table.cheapest(2.0**level * weights / np.maximum(limits, _LEAST))

    def holds(picked: npt.NDArray[np.intp]) -> bool:
        return bool((_ratios(table.cost(picked), limits) <= 1.0).all())

    free = table.cheapest(np.zeros_like(limits))
    if not table.layers or holds(free):
        return free
    low = high = -float(_DOUBLINGS) / 2
    picked = at(high)
    while not holds(picked) and high < _DOUBLINGS / 2:
        low, high = high, high + 8.0
        picked = at(high)
    if not holds(picked):
        return picked
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        tried = at(middle)
        if holds(tried):
            high, picked = middle, tried
        else:
            low = middle
    return picked


def _filled(table: _Table, picked: npt.NDArray[np.intp], limits: Vector) -> npt.NDArray[np.intp]:
    """Spends what is left of the budget: again and again the exchange that gains most error for its cost."""
    picked = picked.copy()
    spent = table.cost(picked)
    while True:
        best: tuple[float, int, int] | None = None
        for layer, (errors, costs) in enumerate(zip(table.errors, table.costs, strict=True)):
            here = picked[layer]
            gain, more = errors[here] - errors, costs - costs[here]
            possible = (gain > 0) & ((spent + more) <= limits).all(axis=1)
            if not possible.any():
                continue
            price = np.maximum(_ratios(more, limits).max(axis=1), 1e-12)
            worth = np.where(possible, gain / price, -np.inf)
            choice = int(np.argmax(worth))
            if best is None or worth[choice] > best[0]:
                best = (float(worth[choice]), layer, choice)
        if best is None:
            return picked
        _, layer, choice = best
        spent = spent + table.costs[layer][choice] - table.costs[layer][picked[layer]]
        picked[layer] = choice
