"""The task by output and labels, the scaling by range and by trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors
from edgepack.records import TensorSpec
from edgepack.starting import scaling
from edgepack.starting.model_seen import Head, InputSeen
from edgepack.starting.task import guessed
from tests.starting.test_data import model, taking

ONE_HOT = np.eye(3)[[0, 2, 1, 0]]


@pytest.mark.parametrize(
    ("head", "width", "labels", "kind", "metric"),
    [
        ("softmax", 3, np.array([0, 2, 1]), "classification", "top1"),
        ("linear", 3, np.array([0, 2, 1]), "classification", "top1"),
        ("softmax", 3, np.array([0.0, 2.0, 1.0]), "classification", "top1"),
        ("softmax", 3, ONE_HOT, "classification", "top1"),
        ("softmax", 3, np.array(["cat", "dog"]), "classification", "top1"),
        ("softmax", 3, np.array([[0, 2], [1, 1]]), "token tagging", "top1"),
        ("sigmoid", 1, np.array([0, 1, 1]), "binary classification", "auc"),
        ("sigmoid", 1, np.array([[0], [1]]), "binary classification", "auc"),
        ("sigmoid", 3, np.array([[1, 1, 0], [0, 0, 0]]), "multi-label classification", "f1"),
        ("linear", 1, np.array([0.5, 2.25]), "regression", "mae"),
        ("linear", 1, np.array([18, 21, 70]), "regression", "mae"),
        ("linear", 3, np.array([[0.5, 2.0, 3.5]]), "regression", "mae"),
        ("softmax", 3, None, "unknown", "agreement"),
        ("linear", 2, None, "reconstruction", "mse"),
        ("sigmoid", 2, None, "reconstruction", "mse"),
    ],
)  # fmt: skip
def test_task(head: Head, width: int, labels: Any, kind: str, metric: str) -> None:
    found = guessed(model(taking("in", 2), head=head, width=width), labels)
    assert (found.kind, found.metric) == (kind, metric)
    assert f"{head} of {width}" in found.reason
    assert found.labels_are_inputs is (kind == "reconstruction")


def test_classes_that_count_from_one_are_told() -> None:
    with pytest.raises(errors.DataError, match="go from 1 to 3: class numbers count from 0 to 2"):
        guessed(model(taking("in", 2)), np.array([1, 2, 3]))


def seen(
    *shape: int, dtype: str = "float32", vocabulary: int | None = None, inside: str | None = None
) -> InputSeen:
    spec = TensorSpec(name="in", shape=(None, *shape), dtype=dtype)
    return InputSeen(spec=spec, vocabulary=vocabulary, scaled_inside=inside)


@pytest.mark.parametrize(
    ("each", "values", "lines"),
    [
        (seen(28, 28, 1), np.arange(256), ("scale = 0.00392156862745098",)),
        (seen(8, 8, 1), np.arange(17), ("scale = 0.0625",)),
        (seen(28, 28, 1), np.linspace(0, 1, 50), ()),
        (seen(9), np.linspace(-123, 26, 50), ()),
        (seen(5, vocabulary=300), np.arange(200), ()),
        (seen(5, dtype="int32"), np.arange(200), ()),
        (seen(28, 28, 1, inside="rescaling"), np.arange(256), ()),
    ],
)
def test_scaling_by_range(each: InputSeen, values: Any, lines: tuple[str, ...]) -> None:
    found = scaling.by_range(each, values)
    assert found.lines == lines and not found.tried
    assert scaling.is_doubtful(each, values) is bool(lines)


def test_every_scaling_in_use_is_a_candidate_for_pictures() -> None:
    found = {each.title: each.affine for each in scaling.candidates(seen(32, 32, 3), np.arange(256))}
    assert set(found) >= {"as stored", "0 … 1 (÷ 255)", "−1 … 1", "ImageNet's mean and deviation"}
    ends = np.array([[0, 0, 0], [255, 255, 255]])
    np.testing.assert_allclose(found["−1 … 1"].apply(ends)[:, 0], [-1, 1], atol=1e-6)
    np.testing.assert_allclose(found["ImageNet's mean and deviation"].apply(ends)[0, 0], -2.1179, atol=1e-3)


def test_the_recipe_says_what_was_tried(tmp_path: Path) -> None:
    choices = scaling.candidates(seen(4, 4, 1), np.arange(256))
    best = scaling._best(
        [(choices[0], 0.98, 9.0), (choices[1], 0.985, 0.1), (choices[2], 0.3, 3.0)], 400, "top1"
    )
    assert best is not None and best.lines == choices[1].lines and best.tried
    assert "as stored 0.980, 0 … 1 (÷ 255) 0.985" in best.reason
