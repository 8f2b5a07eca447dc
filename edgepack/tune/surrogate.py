"""What was measured corrects what was predicted: a monotone trend of the prediction, and a Gaussian process on the rest.

With few points the prediction carries the weight; every generation the rest (what the closed form does not know: kinks of
the metric, training, interactions) is learnt from more of them (Rasmussen and Williams, "Gaussian Processes for Machine
Learning", 2006, ch. 2 and 5; kriging with a trend).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

LENGTHS: Final = (0.25, 0.5, 1.0, 2.0)
NOISES: Final = (0.01, 0.1, 0.5)
"""Share of the rest's variance that is noise."""
KNEES: Final = tuple(10.0 ** (exponent / 2) for exponent in range(-8, 5))
PRIOR_KNEE, PRIOR_SCALE, PRIOR_WEIGHT = 0.1, 0.05, 0.3
"""Before anything is measured: a loss of 0.1 nats costs about three points."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What is expected of new points.

    Attributes:
      mean, deviation: [n].
    """

    mean: Array
    deviation: Array


def of_loss(loss: Array, points: Array, seen_loss: Array, seen_points: Array, seen: Array) -> Forecast:
    """The drop of the metric, from the predicted rise of the loss: scale · log(1 + loss / knee) and the rest.

    Args:
      loss, points: [n], [n, columns], the new points.
      seen_loss, seen_points, seen: [m], [m, columns], [m], the measured ones; m may be 0.

    Example:
      >>> seen = np.array([0.01, 0.1, 1.0])
      >>> found = of_loss(np.array([0.1]), np.zeros((1, 1)), seen, np.zeros((3, 1)), 0.1 * np.log1p(seen / 0.1))
      >>> bool(abs(found.mean[0] - 0.069) < 0.01)
      True
    """
    best = None
    for knee in KNEES:
        trend = np.log1p(seen_loss / knee)
        # A weak wish for the scale that the loss suggests keeps one or two points from saying anything.
        prior = PRIOR_SCALE * np.log1p(1 / PRIOR_KNEE) / np.log1p(1 / knee)
        scale = (float(trend @ seen) + PRIOR_WEIGHT * prior) / (float(trend @ trend) + PRIOR_WEIGHT)
        scale = max(scale, 1e-6)
        miss = float(np.square(seen - scale * trend).sum()) + PRIOR_WEIGHT * (scale - prior) ** 2
        miss += 1e-4 * abs(np.log(knee / PRIOR_KNEE))
        if best is None or miss < best[0]:
            best = (miss, knee, scale)
    assert best is not None
    _, knee, scale = best
    trend, old = scale * np.log1p(loss / knee), scale * np.log1p(seen_loss / knee)
    floor = 0.01 if len(seen) < 3 else 0.25 * float(np.abs(seen - old).mean())
    rest = of_rest(points, seen_points, seen - old, floor)
    return Forecast(mean=trend + rest.mean, deviation=rest.deviation)


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
