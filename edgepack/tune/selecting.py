"""A generation's points: those that are predicted to add most to the volume that the front dominates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.tune import pareto, surrogate
from edgepack.tune.kernel_proxy import Cost
from edgepack.tune.objectives import Objectives, reference
from edgepack.tune.predicting import Predictor
from edgepack.tune.space import Space, key
from edgepack.tune.study import Done

Array: TypeAlias = npt.NDArray[Any]

HOPE: Final = 0.25
"""How many deviations better than expected a point is taken to be: what is not known is worth a look."""
DOUBT: Final = 1.0
"""… and how many deviations a limit may be missed by before a point is left out."""
NEAR_SHARE: Final = 0.3
"""Share of the candidates that are drawn near the front."""
PREDICTED_BY: Final = {"drop": "loss", "delivered_bytes": "delivered_bytes"}
"""Quantity → what of a prediction stands for it; the weights that are left for all others."""


@dataclass(kw_only=True, eq=False)
class Selector:
    """Chooses points of one search.

    Attributes:
      predict: makes the predictor, once it is needed.
    """

    space: Space
    objectives: Objectives
    predict: Callable[[], Predictor]
    seed: int
    candidates: int

    def chosen(self, done: Sequence[Done], first: int, count: int) -> list[dict[str, Any]]:
        """Points for the trials `first` … `first + count − 1`, all different from those that are done.

        Args:
          done: every trial below `first`: nothing else may decide.
        """
        draw = np.random.default_rng([self.seed, first])
        pool = self._pool(done, draw)
        predictor = self.predict()
        costs = [predictor.predict(each) for each in pool]
        pool = [each for each, cost in zip(pool, costs, strict=True) if cost is not None]
        told = [cost for cost in costs if cost is not None]
        if len(pool) <= count:
            return pool + [self.space.drawn(draw) for _ in range(count - len(pool))]
        good = [each for each in done if each.outcome.error is None]
        seen = [predictor.predict(each.params) for each in good]
        view = _View(
            points=self.space.unit(pool),
            costs=told,
            seen_points=self.space.unit([each.params for each in good]),
            seen_costs=[cost for cost in seen if cost is not None],
            measured=[each.outcome.measured for each in good],
        )
        return [pool[place] for place in self._greedy(view, count)]

    def _greedy(self, view: _View, count: int) -> list[int]:
        """Place after place: the largest gain, as if those taken before had come out as expected."""
        names = self.objectives.names
        forecasts = [view.forecast(name) for name in names]
        mean = np.stack([each.mean for each in forecasts], axis=1)
        hoped = mean - HOPE * np.stack([each.deviation for each in forecasts], axis=1)
        known = view.known(names)
        limit = reference(self.objectives, np.vstack([known, mean]))
        scale = np.maximum(limit - np.minimum(mean.min(axis=0), hoped.min(axis=0)), 1e-12)
        allowed = self._allowed(view)
        taken: list[int] = []
        for _ in range(count):
            gains = pareto.gains(hoped / scale, known / scale, limit / scale)
            gains = np.where(allowed, gains, gains * 1e-3)
            gains[taken] = -1.0
            # Where nothing is gained any more, what is least known is tried.
            spare = np.sum(
                [each.deviation / max(float(each.deviation.max()), 1e-12) for each in forecasts], axis=0
            )
            order = np.lexsort((spare, gains))
            best = next(int(place) for place in order[::-1] if int(place) not in taken)
            taken.append(best)
            known = np.vstack([known, mean[best]])
        return taken

    def _allowed(self, view: _View) -> npt.NDArray[np.bool_]:
        """Points that are not expected to miss a limit."""
        fine = np.ones(len(view.points), bool)
        for name, most in self.objectives.limits.items():
            if name == "drop" and most > 1.0:
                continue
            if name in self.objectives.names or view.measures(name):
                forecast = view.forecast(name)
                fine &= forecast.mean - DOUBT * forecast.deviation <= most
        return fine

    def _pool(self, done: Sequence[Done], draw: np.random.Generator) -> list[dict[str, Any]]:
        """Candidates: the whole space where it is small, else the same draws in every generation and some near the front."""
        known = {key(each.params) for each in done}
        if self.space.size() <= self.candidates:
            return [each for each in self.space.every() if key(each) not in known]
        base = np.random.default_rng([self.seed])
        near = int(NEAR_SHARE * self.candidates)
        drawn = [self.space.drawn(base) for _ in range(self.candidates - near)]
        good = [each for each in done if each.outcome.error is None]
        if good:
            values = np.array([self.objectives.values(each.outcome.measured) for each in good])
            best = [good[place] for place in pareto.front(values)]
            drawn += [self.space.drawn(draw, best[int(draw.integers(len(best)))].params) for _ in range(near)]
        else:
            drawn += [self.space.drawn(base) for _ in range(near)]
        found = {key(each): each for each in drawn}
        return [each for where, each in found.items() if where not in known]


@dataclass(kw_only=True, eq=False)
class _View:
    """Candidates and measured points, with their predictions."""

    points: Array
    costs: Sequence[Cost]
    seen_points: Array
    seen_costs: Sequence[Cost]
    measured: Sequence[Mapping[str, float | None]]

    def measures(self, name: str) -> bool:
        return any(each.get(name) is not None for each in self.measured)

    def known(self, names: Sequence[str]) -> Array:
        """Measured objectives, [m, objectives]."""
        rows = [[float(each[name] or 0.0) for name in names] for each in self.measured]
        return np.array(rows, np.float64).reshape(-1, len(names))

    def forecast(self, name: str) -> surrogate.Forecast:
        """A quantity of all candidates."""
        field = PREDICTED_BY.get(name, "weights")
        new = np.array([getattr(cost, field) for cost in self.costs], np.float64)
        old = np.array([getattr(cost, field) for cost in self.seen_costs], np.float64)
        seen = np.array([float(each.get(name) or 0.0) for each in self.measured], np.float64)
        told = surrogate.of_loss if name == "drop" else surrogate.of_size
        return told(new, self.points, old, self.seen_points, seen)
