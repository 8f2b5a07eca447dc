"""What the model is for, told from its output and the labels, and the metric that follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.starting.model_seen import ModelSeen

Kind = Literal[
    "classification",
    "binary classification",
    "multi-label classification",
    "token tagging",
    "regression",
    "reconstruction",
    "unknown",
]


@dataclass(frozen=True, kw_only=True)
class Task:
    """A guess, with its reason.

    Attributes:
      metric: `[metric] name`.
      labels_are_inputs: the inputs are also what the outputs are compared with.
    """

    kind: Kind
    metric: str
    reason: str
    labels_are_inputs: bool = False


def guessed(model: ModelSeen, labels: npt.NDArray[Any] | None) -> Task:
    """The task of a model whose evaluation data have these labels (None for none).

    Raises:
      DataError: class numbers that the model does not have.
    """
    output = f'output "{model.outputs[0]}" ends in {_ending(model)}'
    if labels is None:
        return _without_labels(model, output)
    seen = f"labels are {labels.dtype} {list(labels.shape)}"
    if labels.dtype.kind == "U":
        return Task(kind="classification", metric="top1", reason=f"{output}; labels are names of classes")
    distinct = np.unique(labels)
    whole = bool(np.array_equal(distinct, np.floor(distinct)))
    binary = set(distinct.tolist()) <= {0, 1}
    if labels.ndim >= 2 and labels.shape[-1] == model.width and binary and model.width > 1:
        return _one_hot(labels, f"{output}; {seen}, all 0 and 1")
    if model.width == 1 and binary:
        steps = " in every step" if labels.ndim > 1 and labels.shape[1] > 1 else ""
        return Task(
            kind="binary classification",
            metric="auc",
            reason=f"{output}; {seen}, 0 or 1{steps}; the area under the curve needs no threshold",
        )
    if whole and distinct.min() >= 0 and _are_class_ids(model, labels, int(distinct.max())):
        reason = f"{output}; {seen}, class numbers {int(distinct.min())} … {int(distinct.max())}"
        tags = labels.ndim > 1 and labels.shape[1] > 1
        return Task(kind="token tagging" if tags else "classification", metric="top1", reason=reason)
    if model.head == "softmax" and whole and labels.dtype.kind in "iub":
        raise errors.DataError(
            f"{output}, but labels go from {int(distinct.min())} to {int(distinct.max())}: class numbers count from 0 to "
            f"{(model.width or 1) - 1}; save the labels so, or give the data that belong to this model"
        )
    return Task(kind="regression", metric="mae", reason=f"{output}; {seen}, quantities and no class numbers")


def _ending(model: ModelSeen) -> str:
    return f"{model.head} of {model.width or 'an unknown number of'} value{'s' if model.width != 1 else ''}"


def _are_class_ids(model: ModelSeen, labels: npt.NDArray[Any], highest: int) -> bool:
    if model.width is None:
        return labels.dtype.kind in "iub" and model.head != "linear"
    integers = labels.dtype.kind in "iub" or model.head == "softmax"
    return model.width > 1 and highest < model.width and integers


def _one_hot(labels: npt.NDArray[Any], seen: str) -> Task:
    if bool((labels.sum(axis=-1) == 1).all()):
        tags = labels.ndim > 2
        return Task(
            kind="token tagging" if tags else "classification",
            metric="top1",
            reason=f"{seen}, one 1 a row: one-hot",
        )
    return Task(
        kind="multi-label classification",
        metric="f1",
        reason=f"{seen}, several or none a row: independent classes",
    )


def _without_labels(model: ModelSeen, output: str) -> Task:
    taken = model.specs[0].shape[1:]
    size = taken[-1] if taken else None
    flat = int(np.prod([axis or 0 for axis in taken])) if taken else 0
    mirrors = len(model.inputs) == 1 and model.head != "softmax" and model.width is not None
    if mirrors and model.width in (size, flat) and (model.width or 0) > 1:
        return Task(
            kind="reconstruction",
            metric="mse",
            reason=f"{output}, as many as the input has, and there are no labels: the input is what it should give back",
            labels_are_inputs=True,
        )
    return Task(
        kind="unknown",
        metric="agreement",
        reason=f"there are no labels, so the .tflite is compared with the float model's decisions ({output})",
    )
