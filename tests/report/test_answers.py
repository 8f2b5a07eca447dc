"""What both models decide, and where they differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack.data.dataset import Affine
from edgepack.report import evidence
from edgepack.report.answers import decided, numbers_moved
from edgepack.report.documents import Point
from edgepack.report.sections.front import front
from edgepack.report.thumbnails import pictured, thumbnail


def kept(
    before: np.ndarray, after: np.ndarray, labels: np.ndarray | None, metric: str = "top1"
) -> evidence.Evidence:
    rows = np.arange(len(before))
    return evidence.Evidence(
        metric=metric,
        output="y",
        classes=("a", "b"),
        count=len(before),
        before=before,
        after={"d": after},
        labels=labels,
        rows=rows,
        inputs={"x": np.arange(len(before) * 64, dtype=np.uint8).reshape(-1, 8, 8)},
        preprocess={"x": Affine()},
        models={},
    )


def test_samples_that_became_wrong_come_first() -> None:
    before = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]])
    after = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.1, 0.9]])
    found = decided(kept(before, after, np.array([0, 1, 0, 1])), "d")
    assert found is not None and found.labels is not None
    assert found.changed.tolist() == [2, 1]
    assert found.confusion(found.after).tolist() == [[1, 1], [0, 2]]


@pytest.mark.parametrize("shape", [(6, 1), (6,)])
def test_a_single_output_decides_at_a_half(shape: tuple[int, ...]) -> None:
    before = np.array([0.9, 0.1, 0.8, 0.2, 0.7, 0.4]).reshape(shape)
    after = np.array([0.4, 0.1, 0.8, 0.2, 0.7, 0.6]).reshape(shape)
    found = decided(kept(before, after, np.array([1, 0, 1, 0, 1, 0]), "auc"), "d")
    assert found is not None and sorted(found.changed.tolist()) == [0, 5]
    assert found.reliabilities is not None and found.classes == 2


def test_sequences_are_counted_step_by_step() -> None:
    before = np.eye(3)[np.array([[0, 1], [2, 2]])]
    after = np.eye(3)[np.array([[0, 1], [2, 0]])]
    found = decided(kept(before, after, np.array([[0, 1], [2, 2]])), "d")
    assert found is not None and found.changed.tolist() == [1]
    assert found.confusion(found.after).sum() == 4 and found.reliabilities is None


def test_numbers_are_no_classes() -> None:
    before, after = np.array([[1.0], [2.0]]), np.array([[1.5], [2.0]])
    numbers = kept(before, after, before, "mae")
    assert decided(numbers, "d") is None
    assert numbers_moved(numbers, "d").tolist() == [0.5, 0.0]


def test_sets_of_classes_are_no_decision() -> None:
    answers = np.array([[0.9, 0.8], [0.1, 0.2]])
    assert decided(kept(answers, answers, np.array([[1, 1], [0, 0]]), "f1"), "d") is None


def test_pictures_become_small_pngs() -> None:
    some = kept(np.eye(2), np.eye(2), None)
    assert pictured(some) and thumbnail(some, 1).startswith("data:image/png;base64,iVBOR")
    assert thumbnail(some, 7) == "", "its input was not kept"


def test_a_front_is_what_nothing_beats() -> None:
    points = [
        Point(delivered_bytes=size, metric=0, drop=drop) for size, drop in ((1, 3), (2, 2), (3, 2), (4, 1))
    ]
    assert [point.delivered_bytes for point in front(points)] == [1, 2, 4]
    twice = [points[0], points[0]]
    assert len(front(twice)) == 2, "two alike do not beat each other"


def test_evidence_is_what_was_written(run_folder: Path) -> None:
    found = evidence.read_evidence(run_folder / "evaluation.npz")
    (after,) = found.after.values()
    assert found.before.shape == after.shape == (120, 4) and len(found.rows) == 120
    assert set(found.models) == {"", *found.after}
    assert found.models[""] == (run_folder / "float.tflite").read_bytes()
