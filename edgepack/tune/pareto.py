"""Fronts and the volume that they dominate; every objective is made small."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


def front(points: Array) -> list[int]:
    """Which points no other one dominates; of equal points the first.

    Args:
      points: [n, objectives].

    Example:
      >>> front(np.array([[1.0, 3.0], [2.0, 2.0], [2.0, 3.0], [1.0, 3.0]]))
      [0, 1]
    """
    points = np.asarray(points, np.float64)
    kept = []
    for number, point in enumerate(points):
        better = (points <= point).all(axis=1) & (points < point).any(axis=1)
        equal_before = (points[:number] == point).all(axis=1)
        if not better.any() and not equal_before.any():
            kept.append(number)
    return kept


def hypervolume(points: Array, reference: Array) -> float:
    """Volume that the points dominate within the reference (Zitzler and Thiele, 1998), by slicing along the last objective.

    Args:
      points: [n, objectives]; those not below the reference in every objective add nothing.
      reference: [objectives].

    Example:
      >>> hypervolume(np.array([[1.0, 3.0], [2.0, 2.0]]), np.array([4.0, 4.0]))
      5.0
    """
    reference = np.asarray(reference, np.float64)
    points = np.asarray(points, np.float64).reshape(-1, len(reference))
    points = points[(points < reference).all(axis=1)]
    if not len(points):
        return 0.0
    points = points[front(points)]
    if points.shape[1] == 1:
        return float(reference[0] - points.min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    if points.shape[1] == 2:
        above = np.concatenate([reference[:1], points[:-1, 0]])
        return float(((above - points[:, 0]) * (reference[1] - points[:, 1])).sum())
    ends = np.append(points[1:, -1], reference[-1])
    return sum(
        hypervolume(points[: number + 1, :-1], reference[:-1]) * float(end - points[number, -1])
        for number, end in enumerate(ends)
        if end > points[number, -1]
    )


def gains(points: Array, known: Array, reference: Array) -> Array:
    """What each point alone would add to the volume that `known` dominates, [n].

    Example:
      >>> gains(np.array([[1.0, 1.0], [3.0, 3.0]]), np.array([[2.0, 2.0]]), np.array([4.0, 4.0])).tolist()
      [5.0, 0.0]
    """
    reference = np.asarray(reference, np.float64)
    known = np.asarray(known, np.float64).reshape(-1, len(reference))
    known = known[(known < reference).all(axis=1)]
    known = known[front(known)] if len(known) else known
    volume = hypervolume(known, reference)
    return np.array([hypervolume(np.vstack([known, point]), reference) - volume for point in points])
