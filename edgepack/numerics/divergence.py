"""How far a model's answers lie from another's, sample by sample, and whether one is closer than chance explains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FLOOR = 1.0 / 1024.0
"""Least probability: a quarter of what an int8 softmax can tell from 0."""
SIGMAS = 2.0
LEAST_GAIN = 0.05


def divergence(reference: Mapping[str, Array], answers: Mapping[str, Array]) -> npt.NDArray[np.float64]:
    """Distance of `answers` from `reference`, float64 [samples], summed over the outputs.

    Of an output that is a distribution over its last axis: the Kullback-Leibler divergence in nats (both floored at
    `FLOOR`), meaned over the other axes. Of any other: squared error over the reference's variance. What is not
    finite is infinitely far.

    Args:
      reference, answers: output name → float array [samples, …]; the same names and shapes.

    Example:
      >>> one = {"y": np.array([[0.5, 0.5]])}
      >>> float(divergence(one, one)[0]), float(divergence(one, {"y": np.array([[0.9, 0.1]])})[0]) > 0.5
      (0.0, True)
    """
    total: npt.NDArray[np.float64] = np.zeros(len(next(iter(reference.values()))))
    for name in sorted(reference):
        wanted = np.asarray(reference[name], np.float64)
        found = np.asarray(answers[name], np.float64)
        each = (
            _kullback_leibler(wanted, found) if is_distribution(wanted) else _relative_square(wanted, found)
        )
        total = total + np.where(np.isfinite(each), each, np.inf)
    return total


def is_distribution(output: Array) -> bool:
    """Whether every row of the last axis holds probabilities that sum to 1."""
    if output.ndim < 2 or output.shape[-1] < 2 or not np.isfinite(output).all():
        return False
    return bool((output >= -1e-6).all() and (np.abs(output.sum(axis=-1) - 1.0) < 1e-3).all())


def closer(candidate: Array, incumbent: Array) -> bool:
    """Whether the candidate's divergences are smaller than the incumbent's by more than noise.

    Paired over the samples: the mean difference must exceed two standard errors, and a twentieth of what there is
    to win.

    Args:
      candidate, incumbent: divergences of the same samples, [samples].

    Example:
      >>> far = np.array([1.0, 1.2, 0.9, 1.1])
      >>> closer(far / 2, far), closer(far - np.array([1, -1, 1, -1]) * 0.5, far)
      (True, False)
    """
    if not np.isfinite(candidate).all():
        return False
    if not np.isfinite(incumbent).all():
        return True
    gain = np.asarray(incumbent, np.float64) - np.asarray(candidate, np.float64)
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    return bool(gain.mean() > max(SIGMAS * error, LEAST_GAIN * float(np.mean(incumbent))))


def _kullback_leibler(wanted: Array, found: Array) -> Array:
    before, after = _floored(wanted), _floored(found)
    each: Array = np.sum(before * np.log(before / after), axis=-1)
    return _meaned(each)


def _floored(probabilities: Array) -> Array:
    raised = np.maximum(probabilities, FLOOR)
    normalized: Array = raised / raised.sum(axis=-1, keepdims=True)
    return normalized


def _relative_square(wanted: Array, found: Array) -> Array:
    scale = float(np.var(wanted)) or float(np.mean(wanted**2)) or 1.0
    return _meaned((found - wanted) ** 2 / scale)


def _meaned(values: Array) -> Array:
    means: Array = values.reshape(len(values), -1).mean(axis=1)
    return means
