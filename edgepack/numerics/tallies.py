"""What a metric has to remember of each sample, so that resampling costs a sum and not another evaluation.

Every tally knows its metric's value under any weighting of the samples. All weights 1 is the metric itself;
the multiplicities of a bootstrap draw make a replicate. `weights` has shape [R, N] (R draws of N samples).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Values = npt.NDArray[np.float64]


class Tally(Protocol):
    """A metric on fixed outputs and labels, as a function of the samples' weights."""

    @property
    def samples(self) -> int:
        """N."""

    def weighted(self, weights: Values) -> Values:
        """Metric under each row of `weights` [R, N] → [R]; NaN where it is undefined."""


def value(tally: Tally) -> float:
    """The metric itself: every sample counts once."""
    return float(tally.weighted(np.ones((1, tally.samples)))[0])


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Mean of one number per sample (hit or miss, an error).

    Example:
      >>> value(Mean(scores=np.array([1.0, 0.0, 1.0, 1.0])))
      0.75
    """

    scores: Values

    @property
    def samples(self) -> int:
        return len(self.scores)

    def weighted(self, weights: Values) -> Values:
        mean: Values = (weights @ self.scores) / weights.sum(axis=1)
        return mean


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Area under the ROC curve: how often a positive scores above a negative, ties counting half.

    Attributes:
      scores, positive: [N, T]; T decisions per sample (1 unless there are time steps), resampled together.

    Source: Hanley and McNeil, Radiology 143 (1982): the area is the Mann-Whitney statistic over its pairs.

    Example:
      >>> truth = np.array([[False], [False], [True], [True]])
      >>> value(Ranking(scores=np.array([[0.1], [0.4], [0.4], [0.9]]), positive=truth))
      0.875
    """

    scores: Array
    positive: npt.NDArray[np.bool_]

    @property
    def samples(self) -> int:
        return len(self.scores)

    def weighted(self, weights: Values) -> Values:
        steps = self.scores.shape[1]
        order = np.argsort(self.scores, axis=None, kind="stable")
        ranked = self.scores.ravel()[order]
        first_of_tie = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        spread = weights[:, order // steps]
        positive = self.positive.ravel()[order]
        positives = np.add.reduceat(spread * positive, first_of_tie, axis=1)
        negatives = np.add.reduceat(spread * ~positive, first_of_tie, axis=1)
        below = np.cumsum(negatives, axis=1) - 0.5 * negatives
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        with np.errstate(invalid="ignore"):
            area: Values = (positives * below).sum(axis=1) / pairs
        return area


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """F1 from class decisions: of class 1 alone, or the mean over the classes that occur (macro).

    Attributes:
      predicted, actual: class ids [N, T].
      binary: only class 1 counts.

    Example:
      >>> ids = np.array([[1], [1], [0], [0]])
      >>> round(value(Confusion(predicted=np.array([[1], [0], [1], [0]]), actual=ids, binary=True)), 4)
      0.5
    """

    predicted: npt.NDArray[np.int64]
    actual: npt.NDArray[np.int64]
    binary: bool

    @property
    def samples(self) -> int:
        return len(self.actual)

    def weighted(self, weights: Values) -> Values:
        steps = self.actual.shape[1]
        predicted, actual = self.predicted.ravel(), self.actual.ravel()
        classes = np.array([1]) if self.binary else np.union1d(predicted, actual)
        found = _class_totals(weights, predicted, classes, steps)
        wanted = _class_totals(weights, actual, classes, steps)
        hit = _class_totals(weights, np.where(predicted == actual, actual, -1), classes, steps)
        present = (found + wanted) > 0
        with np.errstate(invalid="ignore"):
            f1 = np.where(present, 2.0 * hit / (found + wanted), 0.0)
            mean: Values = f1.sum(axis=1) / present.sum(axis=1)
        return mean


@dataclass(frozen=True, kw_only=True)
class LabelSets:
    """F1 of each label of a multi-label problem, averaged over the labels.

    Attributes:
      predicted, actual: [N, C] booleans.
    """

    predicted: npt.NDArray[np.bool_]
    actual: npt.NDArray[np.bool_]

    @property
    def samples(self) -> int:
        return len(self.actual)

    def weighted(self, weights: Values) -> Values:
        hit = weights @ (self.predicted & self.actual).astype(np.float64)
        total = weights @ (self.predicted.astype(np.float64) + self.actual)
        present = total > 0
        with np.errstate(invalid="ignore"):
            f1 = np.where(present, 2.0 * hit / total, 0.0)
            mean: Values = f1.sum(axis=1) / present.sum(axis=1)
        return mean


def _class_totals(weights: Values, ids: npt.NDArray[np.int64], classes: Array, steps: int) -> Values:
    """Weight of each class: [R, classes]."""
    totals = np.zeros((len(weights), len(classes)))
    order = np.argsort(ids, kind="stable")
    ranked = ids[order]
    first = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    sums = np.add.reduceat(weights[:, order // steps], first, axis=1)
    for column, name in enumerate(ranked[first]):
        place = np.searchsorted(classes, name)
        if place < len(classes) and classes[place] == name:
            totals[:, place] = sums[:, column]
    return totals
