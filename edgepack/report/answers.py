"""The answers of both models against the labels: decisions, confidence, and where they changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.numerics import labelling
from edgepack.numerics.metrics import ERRORS
from edgepack.numerics.reliability import Reliability, as_probabilities, reliability
from edgepack.report.evidence import Evidence

Array = npt.NDArray[Any]
MOST_CLASSES: Final = 1000


@dataclass(frozen=True, kw_only=True)
class Decided:
    """Class decisions of both models.

    Attributes:
      before, after: class ids, [N, T]; T = 1 where there is one decision a sample.
      labels: [N, T]; None where there are none.
      classes: number of classes.
      reliabilities: float's and shipped's; None where answers are no single decision with a confidence.
      from_logits: whether softmax was taken to get confidences.
    """

    before: Array
    after: Array
    labels: Array | None
    classes: int
    reliabilities: tuple[Reliability, Reliability] | None
    from_logits: bool

    @property
    def changed(self) -> Array:
        """Numbers of the samples of which any decision changed, those that became wrong first."""
        rows = np.flatnonzero((self.before != self.after).any(axis=1))
        if self.labels is None:
            return rows
        lost = (self.before == self.labels).mean(axis=1) - (self.after == self.labels).mean(axis=1)
        return rows[np.argsort(-lost[rows], kind="stable")]

    def confusion(self, answers: Array) -> npt.NDArray[np.int64]:
        """Counts [C, C], label by row."""
        assert self.labels is not None
        pairs = self.labels.ravel() * self.classes + answers.ravel()
        return np.bincount(pairs, minlength=self.classes**2).reshape(self.classes, self.classes)


def decided(evidence: Evidence, digest: str) -> Decided | None:
    """What both models decide; None where they answer with numbers, or labels are sets of classes."""
    before, after = evidence.before, evidence.after[digest]
    if evidence.metric in ERRORS or before.ndim < 1 or not before.size:
        return None
    classes = 2 if before.ndim == 1 or before.shape[-1] == 1 else before.shape[-1]
    if classes > MOST_CLASSES or (before.ndim == 1 and evidence.labels is None):
        return None
    labels = evidence.labels
    if labels is not None:
        labels = _class_ids(before, labels, classes)
        if labels is None:
            return None
    found = labelling.decisions(before), labelling.decisions(after)
    single = found[0].shape[1] == 1 and labels is not None
    reliabilities, from_logits = None, False
    if single and labels is not None:
        columns = (array.reshape(len(array), -1) for array in (before, after))
        (first, logits), (second, also) = (as_probabilities(array) for array in columns)
        from_logits = logits or also
        reliabilities = reliability(first, labels[:, 0]), reliability(second, labels[:, 0])
    return Decided(
        before=found[0],
        after=found[1],
        labels=labels,
        classes=classes,
        reliabilities=reliabilities,
        from_logits=from_logits,
    )


def _class_ids(outputs: Array, labels: Array, classes: int) -> Array | None:
    """Labels as [N, T] class ids; None where they are something else."""
    try:
        if classes == 2 and (outputs.ndim == 1 or outputs.shape[-1] == 1):
            return labelling.binary_scores(outputs, labels, metric="top1")[1].astype(np.int64)
        if labelling.is_multi_label(outputs, labels):
            return None
        found: Array = labelling.class_ids("top1", outputs, labels).reshape(len(outputs), -1)
        return found
    except errors.DataError:
        return None


def numbers_moved(evidence: Evidence, digest: str) -> Array:
    """For answers that are numbers: the largest change of each sample, [N]."""
    change = np.abs(evidence.after[digest].astype(np.float64) - evidence.before)
    moved: Array = change.reshape(len(change), -1).max(axis=1, initial=0.0)
    return moved
