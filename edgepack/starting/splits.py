"""Who gets which samples: training, calibration and evaluation from what there is, never the same for two ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy.typing as npt

from edgepack.data import DataSource
from edgepack.starting.arrays import Bound
from edgepack.starting.files import Role

CALIBRATION_SAMPLES: Final = 200
LARGEST_CALIBRATION_SHARE: Final = 5
"""A file that is also evaluated on gives at most one fifth to calibration."""
EVALUATION_SHARE: Final = 0.4
FEWEST_TO_TRAIN: Final = 500
"""With fewer labelled samples fine-tuning learns the samples and not the task."""
SEED: Final = 0


@dataclass(frozen=True, kw_only=True)
class Part:
    """One `[data.…]` table.

    Attributes:
      labels: of the samples in it; None where there are none, or they do not matter.
      reason: for the comment above the table.
    """

    source: DataSource
    count: int
    bound: Bound
    reason: str

    @property
    def labels(self) -> npt.NDArray[Any] | None:
        if self.bound.labels is None:
            return None
        return self.bound.labels[self.source.rows(self.bound.count)]


@dataclass(frozen=True, kw_only=True)
class Splits:
    """The tables, and what was left out."""

    parts: Mapping[Role, Part]
    notes: tuple[str, ...] = ()


def split(sources: Sequence[Bound]) -> Splits:
    """Gives every source its role; cuts one file for several roles by a seeded permutation."""
    by_role: dict[Role | None, Bound] = {}
    notes = []
    for each in sources:
        if each.file.role in by_role:
            notes.append(
                f"{each.file.path.name} is not used: {by_role[each.file.role].file.path.name} has its role"
            )
        else:
            by_role[each.file.role] = each
    training, evaluation = by_role.get("training"), by_role.get("evaluation")
    calibration, any_role = by_role.get("calibration"), by_role.get(None)
    if any_role is not None and evaluation is None:
        if training is None:
            return Splits(parts=_from_one(any_role, calibration), notes=tuple(notes))
        evaluation = any_role
    elif any_role is not None and training is None:
        training = any_role
    if evaluation is None:
        whole = training if training is not None else calibration
        assert whole is not None
        other = calibration if training is not None else None
        return Splits(parts=_from_one(whole, other), notes=tuple(notes))
    parts: dict[Role, Part] = {}
    if training is not None and _trains(training, training.count):
        parts["training"] = _whole(training, "its name says so")
    parts |= _calibrated(training, calibration, evaluation)
    return Splits(parts=parts, notes=tuple(notes))


def _trains(bound: Bound, count: int) -> bool:
    return bound.labels is not None and count >= FEWEST_TO_TRAIN


def _calibrated(training: Bound | None, calibration: Bound | None, evaluation: Bound) -> dict[Role, Part]:
    whole = _whole(evaluation, "samples that the model was not trained on, as its name says")
    if calibration is not None:
        return {"calibration": _whole(calibration, "its name says so"), "evaluation": whole}
    if training is not None:
        count = min(CALIBRATION_SAMPLES, training.count)
        reason = "some of the training samples, drawn by the seed"
        return {"calibration": _cut(training, 0, count, reason), "evaluation": whole}
    count = _calibration_count(evaluation.count)
    return {
        "calibration": _cut(evaluation, 0, count, "drawn by the seed; the evaluation takes the others"),
        "evaluation": _cut(evaluation, count, None, "the others: no sample calibrates and judges"),
    }


def _from_one(whole: Bound, calibration: Bound | None) -> dict[Role, Part]:
    """One file for everything: its name does not say what it is for, so it is cut by a seeded permutation."""
    parts: dict[Role, Part] = {}
    first, rest = 0, whole.count
    wanted = round(rest * (1 - EVALUATION_SHARE))
    if calibration is None:
        first = _calibration_count(whole.count)
    trains = _trains(whole, wanted - first)
    if trains:
        parts["training"] = _cut(whole, first, wanted - first, "to fine-tune on")
    if calibration is not None:
        parts["calibration"] = _whole(calibration, "its name says so")
    else:
        parts["calibration"] = _cut(whole, 0, first, "drawn from the one file by the seed")
    start = wanted if trains else first
    reason = (
        "the others. The file's name does not say whether the model was trained on them: if it was, the metric "
        "flatters both models alike"
    )
    parts["evaluation"] = _cut(whole, start, None, reason) if start else _whole(whole, reason)
    return parts


def _calibration_count(total: int) -> int:
    return max(1, min(CALIBRATION_SAMPLES, total // LARGEST_CALIBRATION_SHARE))


def _whole(bound: Bound, reason: str) -> Part:
    return Part(source=bound.source, count=bound.count, bound=bound, reason=reason)


def _cut(bound: Bound, start: int, count: int | None, reason: str) -> Part:
    cut: dict[str, int] = {"shuffle_seed": SEED}
    if start:
        cut["start"] = start
    if count is not None:
        cut["count"] = count
    taken = bound.count - start if count is None else count
    return Part(source=bound.source.model_copy(update=cut), count=taken, bound=bound, reason=reason)
