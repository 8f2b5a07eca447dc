"""Outputs and labels brought to one form: class ids, binary scores, targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors

Array = npt.NDArray[Any]


def class_ids(metric: str, outputs: Array, labels: Array) -> npt.NDArray[np.int64]:
    """Labels as class ids of shape outputs.shape[:-1].

    Args:
      metric: for messages.
      outputs: [N, …, C].
      labels: ids [N, …] or [N, …, 1] (whole floats count), or one-hot or soft rows [N, …, C].

    Raises:
      DataError: another shape, fractions, ids outside 0 … C-1, several ones in a row.
    """
    lead, classes = outputs.shape[:-1], outputs.shape[-1]
    if labels.shape == (*lead, classes) and classes > 1:
        totals = labels.sum(axis=-1, dtype=np.float64)
        if labels.min() < 0 or np.abs(totals - 1.0).max() > 1e-3:
            row = int(np.flatnonzero(np.abs(totals - 1.0).reshape(len(labels), -1).max(axis=1) > 1e-3)[0])
            raise errors.DataError(
                f"metric {metric!r}: the labels of sample {row} sum to {totals[row].ravel()[0]:g}; expected "
                "one-hot rows or class ids (for several labels per sample use f1)"
            )
        return np.asarray(labels.argmax(axis=-1), np.int64)
    if labels.shape == (*lead, 1):
        labels = labels[..., 0]
    if labels.shape != lead:
        raise errors.DataError(
            f"metric {metric!r}: labels of shape {labels.shape} do not fit outputs of shape {outputs.shape}; "
            f"expected class ids {lead} or one-hot rows {outputs.shape}"
        )
    if labels.dtype.kind not in "biuf" or not np.array_equal(labels, np.floor(labels)):
        raise errors.DataError(
            f"metric {metric!r}: labels must be class ids, whole numbers; got {labels.dtype}"
        )
    ids = labels.astype(np.int64)
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= classes:
        row = int(np.flatnonzero(((ids < 0) | (ids >= classes)).reshape(len(ids), -1).any(axis=1))[0])
        raise errors.DataError(
            f"metric {metric!r}: label {low if low < 0 else high} (first bad sample: {row}) is no class of a "
            f"model with {classes} outputs; ids count from 0 to {classes - 1}"
        )
    return ids


def top_k_hits(outputs: Array, labels: Array, k: int) -> npt.NDArray[np.float64]:
    """Per sample, the share of its decisions whose true class is among the k highest outputs: [N].

    Ties go to the lower class id, as `argmax` decides them. A model with a single output decides at 0.5.

    Example:
      >>> top_k_hits(np.array([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3]]), np.array([2, 0]), k=2)
      array([1., 0.])
    """
    metric = f"top{k}"
    outputs = outputs[:, None] if outputs.ndim == 1 else outputs
    classes = outputs.shape[-1]
    if classes == 1:
        if k > 1:
            raise errors.DataError(f"metric {metric!r}: the model has one output; use top1, auc or f1")
        scores, positive = binary_scores(outputs, labels, metric=metric)
        return np.asarray(((scores > 0.5) == positive).mean(axis=1))
    if k >= classes:
        raise errors.DataError(
            f"metric {metric!r} of a model with {classes} classes is always 1; choose a smaller k"
        )
    ids = class_ids(metric, outputs, labels)
    if k == 1:
        hits = outputs.argmax(axis=-1) == ids
    else:
        own = np.take_along_axis(outputs, ids[..., None], axis=-1)
        earlier = np.arange(classes) < ids[..., None]
        hits = ((outputs > own) | ((outputs == own) & earlier)).sum(axis=-1) < k
    return np.asarray(hits.reshape(len(hits), -1).mean(axis=1))


def binary_scores(
    outputs: Array, labels: Array, *, metric: str = "auc"
) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Score of class 1 (the last column) and whether it is true, both [N, T].

    Args:
      outputs: [N], [N, C] or [N, T, C]; a last axis of 1 or more columns, of which the last is taken.
      labels: 0 and 1 of shape [N] or [N, T], with or without a trailing 1; or of the outputs' shape, last
        column.

    Raises:
      DataError: another shape, values other than 0 and 1, or a single class where two are needed.
    """
    outputs = outputs[:, None] if outputs.ndim == 1 else outputs
    scores = outputs[..., -1]
    if labels.shape == outputs.shape:
        labels = labels[..., -1]
    elif labels.shape == (*scores.shape, 1):
        labels = labels[..., 0]
    if labels.shape != scores.shape:
        raise errors.DataError(
            f"metric {metric!r}: labels of shape {labels.shape} do not fit outputs of shape {outputs.shape}; "
            f"expected 0 or 1 in shape {scores.shape}"
        )
    odd = ~((labels == 0) | (labels == 1))
    if odd.any():
        raise errors.DataError(
            f"metric {metric!r} takes labels 0 and 1; found {np.asarray(labels)[odd].ravel()[0]} "
            "(for several classes use top1)"
        )
    positive = labels == 1
    if metric in ("auc", "f1"):
        _check_classes(metric, positive)
    return scores.reshape(len(scores), -1), positive.reshape(len(scores), -1)


def _check_classes(metric: str, positive: npt.NDArray[np.bool_]) -> None:
    if not positive.any():
        raise errors.DataError(
            f"metric {metric!r}: no label is 1; the evaluation data need samples of class 1"
        )
    if metric == "auc" and positive.all():
        raise errors.DataError(
            "metric 'auc': every label is 1; the evaluation data need samples of class 0 too"
        )


def is_multi_label(outputs: Array, labels: Array) -> bool:
    """Whether labels are independent 0/1 columns: the outputs' shape [N, C], and not one 1 per row."""
    if labels.shape != outputs.shape or outputs.ndim != 2 or outputs.shape[1] < 2:
        return False
    if not bool(((labels == 0) | (labels == 1)).all()):
        return False
    return bool((labels.sum(axis=1, dtype=np.float64) != 1).any())


def sample_errors(metric: str, outputs: Array, targets: Array) -> npt.NDArray[np.float64]:
    """Mean absolute or squared error of each sample, over all its outputs: [N].

    Raises:
      DataError: shapes that differ by more than a trailing 1.
    """
    if outputs.shape != targets.shape:
        if outputs.shape == (*targets.shape, 1):
            targets = targets[..., None]
        elif targets.shape == (*outputs.shape, 1):
            outputs = outputs[..., None]
        else:
            raise errors.DataError(
                f"metric {metric!r}: targets of shape {targets.shape} do not fit outputs {outputs.shape}"
            )
    if targets.dtype.kind not in "biuf":
        raise errors.DataError(f"metric {metric!r}: targets have dtype {targets.dtype}; expected numbers")
    difference = outputs.astype(np.float64) - targets.astype(np.float64)
    per_value = np.abs(difference) if metric == "mae" else difference**2
    return np.asarray(per_value.reshape(len(per_value), -1).mean(axis=1))


def decisions(outputs: Array) -> npt.NDArray[np.int64]:
    """What a model decides: argmax over the last axis, or above 0.5 where there is one output. [N, T]."""
    outputs = outputs[:, None] if outputs.ndim == 1 else outputs
    ids = (outputs[..., 0] > 0.5) if outputs.shape[-1] == 1 else outputs.argmax(axis=-1)
    return ids.astype(np.int64).reshape(len(outputs), -1)


def same_decision(outputs: Array, others: Array) -> npt.NDArray[np.float64]:
    """Per sample, the share of decisions that two models have in common: [N].

    Raises:
      DataError: outputs of different shapes.
    """
    if outputs.shape != others.shape:
        raise errors.DataError(f"outputs of shapes {outputs.shape} and {others.shape} cannot be compared")
    return np.asarray((decisions(outputs) == decisions(others)).mean(axis=1))
