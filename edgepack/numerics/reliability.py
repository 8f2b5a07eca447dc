"""Whether a classifier's confidence can be believed: how often it is right where it says that it is sure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors

Array = npt.NDArray[Any]
BINS = 10


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """Confidence against accuracy, in equal bins of confidence from 0 to 1.

    Attributes:
      counts: samples in each bin, [bins].
      confidence, accuracy: their means in each bin; NaN where it is empty.
      expected_error: mean of |accuracy − confidence| over bins, weighted by their samples (ECE), 0 … 1.
    """

    counts: Array
    confidence: Array
    accuracy: Array
    expected_error: float


def reliability(probabilities: Array, labels: Array, *, bins: int = BINS) -> Reliability:
    """Reliability of the likeliest class.

    Args:
      probabilities: [N, C], rows that sum to 1.
      labels: class ids, [N].

    Raises:
      DataError: shapes that do not fit, or no samples.

    Source: Guo et al., On Calibration of Modern Neural Networks (2017), equation 3.

    Example:
      >>> sure_and_half_right = np.tile([[0.9, 0.1]], (4, 1))
      >>> round(reliability(sure_and_half_right, np.array([0, 0, 1, 1])).expected_error, 6)
      0.4
    """
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise errors.DataError(
            f"probabilities of shape {probabilities.shape} and labels of shape {labels.shape}; expected [N, C] and [N]"
        )
    sure = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    place = np.clip(np.ceil(sure * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(place, weights=sure, minlength=bins) / counts
        accuracy = np.bincount(place, weights=right, minlength=bins) / counts
    used = counts > 0
    gaps = np.abs(accuracy[used] - confidence[used])
    return Reliability(
        counts=counts,
        confidence=confidence,
        accuracy=accuracy,
        expected_error=float((gaps * counts[used]).sum() / counts.sum()),
    )


def as_probabilities(outputs: Array) -> tuple[Array, bool]:
    """Rows that sum to 1, and whether softmax made them so: logits are not probabilities yet.

    Args:
      outputs: [N, C], or [N, 1] of the positive class, which becomes [N, 2].

    Example:
      >>> as_probabilities(np.array([[0.25]]))
      (array([[0.75, 0.25]]), False)
    """
    values = np.asarray(outputs, np.float64)
    if values.shape[-1] == 1:
        within = bool(((values >= 0) & (values <= 1)).all())
        positive = values if within else 1.0 / (1.0 + np.exp(-np.clip(values, -60, 60)))
        return np.concatenate([1.0 - positive, positive], axis=-1), not within
    sums = values.sum(axis=-1)
    if bool((values >= -1e-6).all()) and bool(
        (np.abs(sums - 1.0) < 0.05).all()
    ):  # int8 rounding: 1/256 a class
        return values / sums[:, None], False
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True), True
