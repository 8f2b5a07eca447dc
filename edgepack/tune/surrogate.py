"""What was measured corrects what was predicted: a monotone trend of the prediction, and a Gaussian process on the rest.

With few points the prediction carries the weight; every generation the rest (what the closed form does not know: kinks of
the metric, training, interactions) is learnt from more of them (Rasmussen and Williams, "Gaussian Processes for Machine
Learning", 2006, ch. 2 and 5; kriging with a trend).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

LENGTHS: Final = (0.25, 0.5, 1.0, 2.0)
NOISES: Final = (0.01, 0.1, 0.5)
"""Share of the rest's variance that is noise."""
KNEES: Final = tuple(10.0 ** (exponent / 4) for exponent in range(-16, 9))
POWERS: Final = (1.0, 1.5, 2.0, 3.0, 4.5, 6.0)
"""How fast a drop sets in: a model that is sure of itself bears small errors well, and large ones no better."""
SCALES: Final = tuple(10.0 ** (exponent / 10) for exponent in range(-25, 6))
USUAL: Final = (0.1, 2.0, 0.1)
"""Knee, power and scale before anything is measured: a loss of 0.1 nats costs about seven points."""
SPREAD: Final = (1.0, 0.7, 0.7)
"""… and how far they usually are from that, as deviations of their logarithms."""
TRUE_WITHIN: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""A prediction's own deviation, as a logarithm: which of these it is, the measured points say too."""
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
    expected, doubt = _trend(np.concatenate([loss, seen_loss]), seen_loss, seen)
    trend, old = expected[: len(loss)], expected[len(loss) :]
    missed = (seen - old) / (old + GRAIN)
    floor = 1.0 if len(seen) < 3 else 0.25 * float(np.abs(missed).mean())
    rest = of_rest(points, seen_points, missed, floor)
    deviation = np.hypot(rest.deviation * (trend + GRAIN), doubt[: len(loss)])
    return Forecast(mean=trend + rest.mean * (trend + GRAIN), deviation=deviation)


def _trend(loss: Array, seen_loss: Array, seen: Array) -> tuple[Array, Array]:
    """Expected drop at each loss, and its deviation, over every knee, power and scale as likely as the measured points
    make them (Bayesian model averaging: Hoeting et al., Statistical Science 14, 1999).

    Args:
      loss: [n].
      seen_loss, seen: [m].

    Returns:
      Both [n].
    """
    grid = np.array(list(itertools.product(KNEES, POWERS, SCALES)))
    off = np.log(grid / USUAL) / SPREAD

    def drops(at: Array) -> Array:
        knee, power, scale = grid.T[:, :, None]
        found: Array = scale * np.log1p((at / knee) ** power)
        return found

    missed = np.square(np.log((np.maximum(seen, 0.0) + GRAIN) / (drops(seen_loss) + GRAIN))).sum(axis=1)
    said = [-0.5 * missed / within**2 - len(seen) * np.log(within) for within in TRUE_WITHIN]
    likelihood = np.logaddexp.reduce(said) - 0.5 * np.square(off).sum(axis=1)
    weight = np.exp(likelihood - likelihood.max())
    weight /= weight.sum()
    every = drops(loss)
    mean = weight @ every
    return mean, np.sqrt(np.maximum(weight @ np.square(every) - mean**2, 0.0))


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
