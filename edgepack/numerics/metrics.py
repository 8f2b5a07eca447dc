"""How good the answers of a model are: one number per metric, and how far it fell."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.numerics import labelling
from edgepack.numerics.tallies import Confusion, LabelSets, Mean, Ranking, Tally, value

Array = npt.NDArray[Any]
UserMetric = Callable[[Array, Array], float]

NAMES: Final = ("top1", "top5", "auc", "f1", "mae", "mse", "agreement")
ERRORS: Final = ("mae", "mse")
"""Metrics that are better when smaller; their drop is relative to the float model's value."""
TOP_K: Final = re.compile(r"top([1-9][0-9]{0,3})")
USER: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
SMALLEST_ERROR: Final = 1e-12
"""A float model without error would make every increase infinite; relative drops divide by at least this."""


def is_known(name: str) -> bool:
    """Whether a recipe may say ``[metric] name = …``: built in, any topK, or "module:function".

    Example:
      >>> is_known("top3"), is_known("my_metrics:recall"), is_known("accuracy")
      (True, True, False)
    """
    return name in NAMES or TOP_K.fullmatch(name) is not None or is_user_metric(name)


def is_user_metric(name: str) -> bool:
    """Whether the name is a "module:function" of the recipe's own, which needs `--trust-code`."""
    return USER.fullmatch(name) is not None


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A named measure of outputs against labels.

    Attributes:
      name: "top1", "top5" (any "topK"), "auc", "f1", "mae", "mse", "agreement", or "module:function".
      function: of a "module:function" metric: (outputs, labels) → number. Higher is better, unless it
        has the attribute ``higher_is_better = False``.

    Example:
      >>> outputs = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
      >>> round(Metric(name="top1").value(outputs, np.array([0, 1, 1])), 4)
      0.6667
    """

    name: str
    function: UserMetric | None = None

    def __post_init__(self) -> None:
        if not is_known(self.name):
            raise errors.DataError(
                f'metric {self.name!r} is unknown; expected {", ".join(NAMES)}, topK or "module:function"'
            )
        if is_user_metric(self.name) and self.function is None:
            raise errors.DataError(f"metric {self.name!r}: its function was not loaded")

    @property
    def needs_labels(self) -> bool:
        """Whether ground truth is needed; agreement takes the float model's answers instead."""
        return self.name != "agreement"

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller value is a better model."""
        if self.function is not None:
            return not getattr(self.function, "higher_is_better", True)
        return self.name in ERRORS

    def value(self, outputs: Array, labels: Array | None) -> float:
        """The metric.

        Args:
          outputs: [N, …] as the model gives them, float.
          labels: what fits the metric. topK: class ids [N, …] or one-hot rows. auc, binary f1: 0 and 1.
            f1 of more classes: ids or one-hot. mae, mse: targets of the outputs' shape. agreement: the float
            model's outputs.

        Raises:
          DataError: labels that are missing or do not fit; outputs that are not finite.
        """
        outputs, labels = self._paired(outputs, labels)
        if self.function is not None:
            return self._user_value(outputs, labels)
        return value(self.tally(outputs, labels))

    def tally(self, outputs: Array, labels: Array | None) -> Tally:
        """What resampling needs of a built-in metric; arguments and errors as in `value`."""
        outputs, labels = self._paired(outputs, labels)
        if self.name == "agreement":
            return Mean(scores=labelling.same_decision(outputs, labels))
        if self.name in ERRORS:
            return Mean(scores=labelling.sample_errors(self.name, outputs, labels))
        if self.name == "auc":
            scores, positive = labelling.binary_scores(outputs, labels)
            return Ranking(scores=scores, positive=positive)
        if self.name == "f1":
            return _f1_tally(outputs, labels)
        match = TOP_K.fullmatch(self.name)
        assert match is not None
        return Mean(scores=labelling.top_k_hits(outputs, labels, int(match[1])))

    def drop(self, float_value: float, tflite_value: float) -> float:
        """How much worse the .tflite is; positive is worse.

        Scores: the difference. mae and mse: the increase relative to the float model's error.

        Example:
          >>> round(Metric(name="top1").drop(0.93, 0.92), 4), round(Metric(name="mae").drop(0.50, 0.55), 4)
          (0.01, 0.1)
        """
        return float(self.drops(np.float64(float_value), np.float64(tflite_value)))

    def drops(self, float_values: Any, tflite_values: Any) -> Any:
        """`drop` of arrays."""
        worse = tflite_values - float_values if self.lower_is_better else float_values - tflite_values
        if self.name in ERRORS:
            worse = worse / np.maximum(float_values, SMALLEST_ERROR)
        return np.round(worse, 12)  # 0.93 - 0.925 is not to miss a budget of 0.005 by float64's last digit

    def _paired(self, outputs: Array, labels: Array | None) -> tuple[Array, Array]:
        if labels is None:
            raise errors.DataError(
                f"metric {self.name!r} needs labels, and the evaluation data have none: set "
                'labels = "array name", or use [metric] name = "agreement"'
            )
        outputs, labels = np.asarray(outputs), np.asarray(labels)
        if outputs.ndim == 0 or labels.ndim == 0 or len(outputs) != len(labels):
            raise errors.DataError(
                f"metric {self.name!r}: outputs of shape {outputs.shape} and labels of shape {labels.shape} "
                "are not equally many"
            )
        if not len(outputs):
            raise errors.DataError(f"metric {self.name!r}: there are no samples to evaluate")
        bad = ~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)
        if bad.any():
            raise errors.DataError(
                f"metric {self.name!r}: the model's output for sample {int(np.flatnonzero(bad)[0])} is not "
                f"finite: the model overflows ({int(bad.sum())} of {len(bad)} samples)"
            )
        return outputs, labels

    def _user_value(self, outputs: Array, labels: Array) -> float:
        assert self.function is not None
        try:
            found = float(self.function(outputs, labels))
        except Exception as error:  # whatever the user's code raises
            raise errors.DataError(f"metric {self.name!r} failed: {type(error).__name__}: {error}") from error
        if not np.isfinite(found):
            raise errors.DataError(f"metric {self.name!r} returned {found}; expected a finite number")
        return found


def _f1_tally(outputs: Array, labels: Array) -> Tally:
    if labelling.is_multi_label(outputs, labels):
        return LabelSets(predicted=outputs > 0.5, actual=labels > 0.5)
    if outputs.ndim == 1 or outputs.shape[-1] <= 2:
        scores, positive = labelling.binary_scores(outputs, labels, metric="f1")
        predicted = (scores > 0.5).astype(np.int64)
        return Confusion(predicted=predicted, actual=positive.astype(np.int64), binary=True)
    actual = labelling.class_ids("f1", outputs, labels)
    predicted = outputs.argmax(axis=-1)
    return Confusion(
        predicted=predicted.reshape(len(outputs), -1), actual=actual.reshape(len(outputs), -1), binary=False
    )
