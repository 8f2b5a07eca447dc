"""Signs that data will not do their job: what a calibration set should not look like."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.data.dataset import Dataset, Finding
from edgepack.data.overlap import repeated_rows

Array = npt.NDArray[Any]

SAMPLED_VALUES: Final = 4_000_000
"""Values per input that statistics look at, evenly spread over the rows."""
FEW_SAMPLES: Final = 32
VERY_FEW_SAMPLES: Final = 8
SENTINEL_GAP: Final = 20.0
"""An extreme value is a sentinel where it lies this many spreads of the rest away from the rest."""
SENTINEL_REPEATS: Final = 3
RANGE_SHARE: Final = 0.5
"""Calibration that covers less than this share of the evaluation set's range (1st to 99th percentile)."""
RARE_CLASS: Final = 10.0


def lint(
    calibration: Dataset | None, evaluation: Dataset | None = None, training: Dataset | None = None
) -> list[Finding]:
    """Findings about the sets, alone and against each other; gravest first.

    Looks at a bounded subset, so that it takes about a second whatever the size. NaN and infinity never get
    here: `materialize` refuses them.

    Args:
      calibration: what the converter measures ranges on; None where nothing is calibrated.
      evaluation: what both models are scored on.
      training: what fine-tuning sees.
    """
    findings: list[Finding] = []
    if calibration is not None:
        findings += _too_few("calibration", calibration.count, "ranges of the activations will be guesses")
        for name in calibration.inputs:
            findings += _values("calibration", name, calibration)
            if evaluation is not None and name in evaluation.inputs:
                findings += _coverage(name, calibration, evaluation)
        findings += _class_balance("calibration", calibration)
    if evaluation is not None:
        findings += _too_few("evaluation", evaluation.count, "the measured drop will be mostly chance")
        if calibration is None:
            for name in evaluation.inputs:
                findings += _values("evaluation", name, evaluation)
        findings += _single_class(evaluation)
    findings += repeated_rows(calibration, evaluation, training)
    order = {"error": 0, "warning": 1, "note": 2}
    return sorted(findings, key=lambda finding: order[finding.level])


def _too_few(role: str, count: int, consequence: str) -> Iterator[Finding]:
    if count < FEW_SAMPLES:
        text = f"{role}: {count} sample{'s' if count != 1 else ''}: {consequence}; 100 or more are usual"
        yield Finding(level="warning" if count < VERY_FEW_SAMPLES else "note", text=text)


def _values(role: str, name: str, dataset: Dataset) -> Iterator[Finding]:
    array = sampled(dataset, name)
    where = f"{role} input {name!r}"
    low, high = float(array.min()), float(array.max())
    if low == high:
        yield Finding(
            level="warning", text=f"{where}: every value is {low:g}: nothing can be calibrated on it"
        )
        return
    if dataset.count > 1 and bool((array == array[:1]).all()):
        yield Finding(level="warning", text=f"{where}: all samples are equal")
    found = sentinel(array)
    if found is not None:
        value, share = found
        yield Finding(
            level="warning",
            text=f"{where}: the value {value:g} fills {share:.1%} and lies far outside the rest; it looks "
            "like a sentinel (padding, missing data) and would stretch the int8 range over it",
        )
    affine = dataset.preprocess[name]
    stored = dataset.stored(name)
    if (
        stored.dtype == np.uint8
        and affine.dtype == "float32"
        and affine.is_identity
        and stored.ndim == 4
        and high > 128
    ):
        yield Finding(
            level="note",
            text=f"{where}: pictures go in as 0 … 255, without [preprocess] scale; "
            "right only if the model was trained so",
        )
    if (
        stored.dtype.kind == "f"
        and float(np.abs(affine.scale).max()) <= 0.01
        and max(abs(low), abs(high)) <= 0.02
    ):
        yield Finding(
            level="warning",
            text=f"{where}: values are {low:g} … {high:g} after [preprocess]: were they scaled twice?",
        )


def sentinel(array: Array) -> tuple[float, float] | None:
    """An extreme value that many places share, far from all others: (value, share of the values).

    Example:
      >>> sentinel(np.array([[0.1, 0.9], [0.3, -4200000.0], [-4200000.0, -4200000.0], [0.2, 0.5]]))
      (-4200000.0, 0.375)
    """
    for extreme in (float(array.min()), float(array.max())):
        at_extreme = array == extreme
        count = int(at_extreme.sum())
        rest = array[~at_extreme]
        if count < SENTINEL_REPEATS or not rest.size:
            continue
        low, high = float(rest.min()), float(rest.max())
        if low == high:
            continue  # two levels, such as 0 and 255
        spread = max(high - low, abs(low), abs(high))
        gap = low - extreme if extreme < low else extreme - high
        if gap > SENTINEL_GAP * spread:
            return extreme, count / array.size
    return None


def _coverage(name: str, calibration: Dataset, evaluation: Dataset) -> Iterator[Finding]:
    if calibration.preprocess[name].dtype != "float32":
        return  # ids: their range says nothing
    ours, theirs = sampled(calibration, name), sampled(evaluation, name)
    our_low, our_high = np.quantile(ours, [0.01, 0.99])
    low, high = np.quantile(theirs, [0.01, 0.99])
    width, our_width = float(high - low), float(our_high - our_low)
    if width <= 0 or our_width <= 0:
        return
    shared = min(high, our_high) - max(low, our_low)
    ranges = f"{our_low:g} … {our_high:g}, the evaluation set's are {low:g} … {high:g}"
    if shared < RANGE_SHARE * width:
        yield Finding(
            level="warning",
            text=f"calibration input {name!r}: values are {ranges}: what lies outside is clipped; "
            "was one of them scaled differently?",
        )
    elif shared < RANGE_SHARE * our_width:
        yield Finding(
            level="warning",
            text=f"calibration input {name!r}: values are {ranges}: int8 steps are wasted on what never "
            "comes; was one of them scaled differently?",
        )


def _class_balance(role: str, dataset: Dataset) -> Iterator[Finding]:
    counts = class_counts(dataset)
    if counts is None:
        return
    if len(counts) == 1:
        yield Finding(level="warning", text=f"{role}: all samples are of class {next(iter(counts))}")
        return
    rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[commonest] > RARE_CLASS * counts[rarest]:
        yield Finding(
            level="note",
            text=f"{role}: class {commonest} has {counts[commonest]} samples, class {rarest} only "
            f"{counts[rarest]}",
        )


def _single_class(evaluation: Dataset) -> Iterator[Finding]:
    counts = class_counts(evaluation)
    if counts is not None and len(counts) == 1:
        yield Finding(
            level="warning",
            text=f"evaluation: all labels are {next(iter(counts))}: "
            "a model that always says so would look perfect",
        )


def class_counts(dataset: Dataset) -> dict[int, int] | None:
    """Samples per class id where labels look like class ids (at most 1,000 whole numbers), else None."""
    labels = dataset.label()
    if labels is None or not labels.size:
        return None
    values = np.asarray(labels)
    if values.ndim == 2 and values.shape[1] > 1 and bool(((values == 0) | (values == 1)).all()):
        if not bool((values.sum(axis=1) == 1).all()):
            return None
        values = values.argmax(axis=1)
    if (
        values.size != len(values)
        or values.dtype.kind not in "iuf"
        or bool((values != np.floor(values)).any())
    ):
        return None
    ids, counts = np.unique(values.astype(np.int64), return_counts=True)
    if len(ids) > min(1_000, max(2, len(values) // 2)):
        return None
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def sampled(dataset: Dataset, name: str) -> Array:
    """Rows evenly spread over the set, preprocessed: float32 or ids, [some, …]."""
    stored = dataset.stored(name)
    row_values = max(1, stored.size // max(1, len(stored)))
    wanted = max(1, min(dataset.count, SAMPLED_VALUES // row_values))
    rows = np.unique(np.linspace(0, dataset.count - 1, wanted).astype(np.int64))
    return dataset.preprocess[name].apply(stored[rows])
