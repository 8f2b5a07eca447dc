"""What was measured corrects what was predicted: a monotone trend of the prediction, and a Gaussian process on the rest.

With few points the prediction carries the weight; every generation the rest (what the closed form does not know: kinks of
the metric, training, interactions) is learnt from more of them (Rasmussen and Williams, "Gaussian Processes for Machine
Learning", 2006, ch. 2 and 5; kriging with a trend).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

LENGTHS: Final = (0.25, 0.5, 1.0, 2.0)
NOISES: Final = (0.01, 0.1, 0.5)
"""Share of the rest's variance that is noise."""
KNEES: Final = tuple(10.0 ** (exponent / 4) for exponent in range(-16, 9))
POWERS: Final = (1.0, 1.5, 2.0, 3.0)
"""How fast a drop sets in: a model that is sure of itself bears small errors well, and large ones no better."""
PRIOR_KNEE, PRIOR_POWER, PRIOR_SCALE, PRIOR_WEIGHT = 0.1, 1.5, 0.1, 0.1
"""Before anything is measured: a loss of 0.1 nats costs about seven points, and a drop sets in a little late."""
GRAIN: Final = 0.01
"""Drop up to which points scatter alike; larger ones scatter in proportion."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is expected of new points.

    Attributes:
      mean, deviation: [n].
    """

    mean: Array
    deviation: Array


def of_loss(loss: Array, points: Array, seen_loss: Array, seen_points: Array, seen: Array) -> Forecast:
    """The drop of the metric, from the predicted rise of the loss: scale · log(1 + (loss / knee)^power) and the rest.

    Misses count as shares of the drop, and deviations grow with it: where nearly nothing is lost, nothing is to be hoped
    for.

    Args:
      loss, points: [n], [n, columns], the new points.
      seen_loss, seen_points, seen: [m], [m, columns], [m], the measured ones; m may be 0.

    Example:
      >>> seen = np.array([0.01, 0.1, 1.0])
      >>> found = of_loss(np.array([0.1]), np.zeros((1, 1)), seen, np.zeros((3, 1)), 0.1 * np.log1p(seen / 0.1))
      >>> bool(abs(found.mean[0] - 0.069) < 0.01)
      True
    """
    knee, power, scale = _trend(seen_loss, seen)
    trend, old = (scale * np.log1p((each / knee) ** power) for each in (loss, seen_loss))
    missed = (seen - old) / (old + GRAIN)
    floor = 1.0 if len(seen) < 3 else 0.25 * float(np.abs(missed).mean())
    rest = of_rest(points, seen_points, missed, floor)
    return Forecast(mean=trend + rest.mean * (trend + GRAIN), deviation=rest.deviation * (trend + GRAIN))


def _trend(loss: Array, drop: Array) -> tuple[float, float, float]:
    """Knee, power and scale of least squares; a weak wish for what is usual keeps a few points from saying anything."""
    weight = GRAIN / (np.maximum(drop, 0.0) + GRAIN)
    best = (math.inf, PRIOR_KNEE, PRIOR_POWER, PRIOR_SCALE)
    for knee in KNEES:
        prior = PRIOR_SCALE * math.log1p(1 / PRIOR_KNEE) / math.log1p(1 / knee)
        for power in POWERS:
            trend = np.log1p((loss / knee) ** power)
            held = PRIOR_WEIGHT * GRAIN**2 / PRIOR_SCALE**2
            scale = float(trend * weight**2 @ drop) + held * prior
            scale = max(scale / (float(np.square(trend * weight).sum()) + held), 1e-6)
            miss = float(np.square(weight * (drop - scale * trend)).sum()) + held * (scale - prior) ** 2
            miss += 0.1 * GRAIN**2 * (abs(math.log(knee / PRIOR_KNEE)) + abs(power - PRIOR_POWER))
            best = min(best, (miss, knee, power, scale))
    return best[1:]


def of_size(size: Array, points: Array, seen_size: Array, seen_points: Array, seen: Array) -> Forecast:
    """A cost, from the predicted one that is its like: a line and the rest.

    Args:
      size, points, seen_size, seen_points, seen: as `of_loss`.
    """
    unit = max(float(np.abs(seen).mean()), 1e-9) if len(seen) else max(float(size.mean()), 1e-9)
    slope, offset = 1.0, 0.0
    if len(seen):
        centre = float(seen_size.mean())
        spread = float(np.square(seen_size - centre).sum())
        ridge = 0.05 * max(spread / len(seen), 1e-12)
        slope = (float((seen_size - centre) @ (seen - seen.mean())) + ridge) / (spread + ridge)
        offset = float(seen.mean()) - slope * centre
    rest = of_rest(points, seen_points, (seen - slope * seen_size - offset) / unit, 0.02)
    return Forecast(mean=offset + slope * size + unit * rest.mean, deviation=unit * rest.deviation)


def of_rest(points: Array, seen_points: Array, rest: Array, floor: float) -> Forecast:
    """A Gaussian process of zero mean; length and noise of greatest likelihood on a grid.

    Args:
      points, seen_points: [n, columns], [m, columns] in the unit cube.
      rest: [m], what the trend leaves.
      floor: deviation that is assumed at least.
    """
    if not len(rest):
        return Forecast(mean=np.zeros(len(points)), deviation=np.full(len(points), floor))
    variance = max(float(np.square(rest).mean()), floor**2)
    best = None
    for length in LENGTHS:
        kernel = _kernel(seen_points, seen_points, length)
        for noise in NOISES:
            covariance = variance * ((1 - noise) * kernel + (noise + 1e-8) * np.eye(len(rest)))
            factor = np.linalg.cholesky(covariance)
            solved = np.linalg.solve(factor.T, np.linalg.solve(factor, rest))
            likelihood = -0.5 * float(rest @ solved) - float(np.log(np.diagonal(factor)).sum())
            if best is None or likelihood > best[0]:
                best = (likelihood, length, noise, factor, solved)
    assert best is not None
    _, length, noise, factor, solved = best
    across = variance * (1 - noise) * _kernel(points, seen_points, length)
    explained = np.square(np.linalg.solve(factor, across.T)).sum(axis=0)
    deviation = np.sqrt(np.maximum(variance * (1 - noise) - explained, 0.0))
    return Forecast(mean=across @ solved, deviation=deviation)


def _kernel(one: Array, other: Array, length: float) -> Array:
    apart = np.square(one[:, None, :] - other[None, :, :]).sum(axis=2)
    found: Array = np.exp(-0.5 * apart / length**2)
    return found
