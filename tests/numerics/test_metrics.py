"""Metrics: equal to their definitions, whatever the form of the labels; errors where labels do not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from edgepack import errors
from edgepack.numerics.metrics import Metric, is_known, is_user_metric


def value(name: str, outputs: object, labels: object) -> float:
    return Metric(name=name).value(np.asarray(outputs), np.asarray(labels))


seeds = st.integers(0, 2**32 - 1)


@given(seed=seeds, count=st.integers(2, 40), levels=st.integers(1, 6))
def test_auc_is_the_share_of_pairs_ranked_right(seed: int, count: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    scores, labels = random.integers(0, levels, count) / 7, random.integers(0, 2, count)
    assume(0 < labels.sum() < count)
    positive, negative = scores[labels == 1], scores[labels == 0]
    pairs = [(p > n) + 0.5 * (p == n) for p in positive for n in negative]
    assert value("auc", scores, labels) == pytest.approx(np.mean(pairs), abs=1e-12)


@given(seed=seeds)
def test_auc_looks_at_the_order_only(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores, labels = random.random(30), np.arange(30) % 2
    plain = value("auc", scores, labels)
    assert value("auc", np.exp(3 * scores) - 5, labels) == pytest.approx(plain)
    assert value("auc", -scores, labels) == pytest.approx(1 - plain)
    assert value("auc", np.stack([1 - scores, scores], axis=1), labels) == pytest.approx(plain)
    assert value("auc", scores[:, None], labels[:, None].astype(float)) == pytest.approx(plain)
    assert value("auc", np.stack([1 - scores, scores], axis=1), np.eye(2)[labels]) == pytest.approx(plain)


@given(seed=seeds, classes=st.integers(2, 7), k=st.integers(1, 5))
def test_top_k_is_what_sorting_says(seed: int, classes: int, k: int) -> None:
    assume(k < classes)
    random = np.random.default_rng(seed)
    outputs, labels = random.random((25, classes)), random.integers(0, classes, 25)
    best = np.argsort(-outputs, axis=1)[:, :k]
    expected = np.mean([label in row for label, row in zip(labels, best, strict=True)])
    assert value(f"top{k}", outputs, labels) == pytest.approx(expected)
    for same in (
        labels[:, None],
        labels.astype(np.float32),
        labels.astype(np.uint8),
        np.eye(classes)[labels],
    ):
        assert value(f"top{k}", outputs, same) == pytest.approx(expected)


def test_ties_go_to_the_lower_class_as_argmax_does() -> None:
    assert value("top1", [[0.5, 0.5], [0.5, 0.5]], [0, 1]) == 0.5
    assert value("top2", [[0.3, 0.3, 0.3]] * 3, [0, 1, 2]) == pytest.approx(2 / 3)


def test_top1_of_a_single_output_decides_at_a_half() -> None:
    assert value("top1", [[0.9], [0.5], [0.1], [0.6]], [1, 1, 0, 0]) == 0.5


def test_top1_per_time_step() -> None:
    outputs = np.eye(3)[[[0, 1], [2, 2]]]
    assert value("top1", outputs, [[0, 1], [2, 0]]) == 0.75
    assert value("top1", outputs, np.eye(3)[[[0, 1], [2, 0]]]) == 0.75
    assert value("top1", outputs, [[[0], [1]], [[2], [0]]]) == 0.75


@given(seed=seeds, columns=st.sampled_from([0, 1, 2]))
def test_binary_f1_is_sklearns(seed: int, columns: int) -> None:
    random = np.random.default_rng(seed)
    scores, labels = random.random(30), random.integers(0, 2, 30)
    assume(labels.any())
    outputs = (
        scores if columns == 0 else scores[:, None] if columns == 1 else np.stack([1 - scores, scores], 1)
    )
    expected = sklearn_metrics.f1_score(labels, scores > 0.5, zero_division=0.0)
    assert value("f1", outputs, labels) == pytest.approx(expected)


@given(seed=seeds, classes=st.integers(3, 6))
def test_macro_f1_is_sklearns(seed: int, classes: int) -> None:
    random = np.random.default_rng(seed)
    outputs, labels = random.random((20, classes)), random.integers(0, classes, 20)
    expected = sklearn_metrics.f1_score(labels, outputs.argmax(1), average="macro", zero_division=0.0)
    assert value("f1", outputs, labels) == pytest.approx(expected)
    assert value("f1", outputs, np.eye(classes)[labels]) == pytest.approx(expected)


def test_multi_label_f1_is_sklearns() -> None:
    random = np.random.default_rng(0)
    outputs, labels = random.random((40, 4)), random.integers(0, 2, (40, 4))
    expected = sklearn_metrics.f1_score(labels, outputs > 0.5, average="macro")
    assert value("f1", outputs, labels) == pytest.approx(expected)


@given(seed=seeds)
def test_errors_are_what_they_say(seed: int) -> None:
    random = np.random.default_rng(seed)
    outputs, targets = random.normal(size=(12, 3)), random.normal(size=(12, 3))
    assert value("mae", outputs, targets) == pytest.approx(np.abs(outputs - targets).mean())
    assert value("mse", outputs, targets) == pytest.approx(((outputs - targets) ** 2).mean())
    assert value("mae", outputs[:, :1], targets[:, 0]) == pytest.approx(
        np.abs(outputs - targets)[:, 0].mean()
    )
    assert value("mse", outputs, outputs) == 0.0


def test_agreement_takes_the_float_answers_for_labels() -> None:
    assert value("agreement", [[0.9, 0.1], [0.4, 0.6]], [[0.8, 0.2], [0.7, 0.3]]) == 0.5
    assert value("agreement", [[0.9], [0.4]], [[0.8], [0.2]]) == 1.0
    assert not Metric(name="agreement").needs_labels


def test_drop_is_positive_when_worse() -> None:
    assert (
        Metric(name="top1").drop(0.93, 0.925) == 0.005
    )  # not 0.0050000000000000044, which a budget would refuse
    assert Metric(name="auc").drop(0.9, 0.95) == -0.05
    assert Metric(name="mae").drop(0.5, 0.55) == pytest.approx(0.1)
    assert Metric(name="mse").drop(2.0, 1.0) == -0.5
    assert Metric(name="mae").drop(0.0, 0.0) == 0.0
    assert Metric(name="mae").drop(0.0, 0.1) > 1e9


def test_users_own() -> None:
    def recall(outputs: np.ndarray, labels: np.ndarray) -> float:
        return float(((outputs.argmax(1) == 1) & (labels == 1)).sum() / (labels == 1).sum())

    def misses(outputs: np.ndarray, labels: np.ndarray) -> float:
        return float((outputs.argmax(1) != labels).sum())

    misses.higher_is_better = False  # type: ignore[attr-defined]
    outputs, labels = np.eye(2)[[0, 1, 0]], np.array([0, 1, 1])
    assert Metric(name="mine:recall", function=recall).value(outputs, labels) == 0.5
    assert Metric(name="mine:misses", function=misses).drop(1.0, 3.0) == 2.0
    assert Metric(name="mine:recall", function=recall).drop(0.9, 0.8) == pytest.approx(0.1)
    with pytest.raises(errors.DataError, match=r"'mine:bad' failed: ZeroDivisionError"):
        Metric(name="mine:bad", function=lambda a, b: 1 / 0).value(outputs, labels)
    with pytest.raises(errors.DataError, match=r"'mine:nan' returned nan"):
        Metric(name="mine:nan", function=lambda a, b: float("nan")).value(outputs, labels)
    with pytest.raises(errors.DataError, match="was not loaded"):
        Metric(name="mine:recall")


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("top1", True),
        ("top5", True),
        ("top17", True),
        ("agreement", True),
        ("a.b:c", True),
        ("top0", False),
        ("top", False),
        ("accuracy", False),
        ("a:b:c", False),
        ("os:system('x')", False),
        ("", False),
    ],
)
def test_names(name: str, known: bool) -> None:
    assert is_known(name) == known
    assert is_user_metric(name) == (known and ":" in name)
    if not known:
        with pytest.raises(errors.DataError, match="is unknown"):
            Metric(name=name)


ROWS = np.eye(3)[[0, 1, 2, 0]]


@pytest.mark.parametrize(
    ("name", "outputs", "labels", "says"),
    [
        (
            "top1",
            ROWS,
            [0, 1, 3, 0],
            r"label 3 \(first bad sample: 2\) is no class of a model with 3 outputs",
        ),
        ("top1", ROWS, [0, -1, 2, 0], "label -1"),
        ("top1", ROWS, [0.5, 1, 2, 0], "whole numbers"),
        ("top1", ROWS, [[0, 1]] * 4, r"labels of shape \(4, 2\)"),
        ("top1", ROWS, [[1, 1, 0]] * 4, "sum to 2"),
        ("top1", ROWS, [0, 1], "not equally many"),
        ("top1", ROWS[:0], np.zeros(0), "no samples"),
        ("top1", np.full((4, 3), np.nan), [0, 1, 2, 0], "sample 0 is not finite.*4 of 4"),
        ("top3", ROWS, [0, 1, 2, 0], "always 1"),
        ("top5", np.zeros((4, 1)), [0, 1, 0, 1], "one output"),
        ("auc", ROWS, [0, 1, 2, 0], "found 2"),
        ("auc", ROWS, [0, 0, 0, 0], "no label is 1"),
        ("auc", ROWS, [1, 1, 1, 1], "every label is 1"),
        ("f1", ROWS[:, :2], [0, 0, 0, 0], "no label is 1"),
        ("f1", ROWS, [0, 1, 2, 7], "label 7"),
        ("mae", ROWS, [0, 1, 2, 0], "do not fit"),
        ("mae", ROWS[:, 0], ["a"] * 4, "expected numbers"),
        ("agreement", ROWS, ROWS[:, :2], "cannot be compared"),
    ],
)
def test_labels_that_do_not_fit(name: str, outputs: object, labels: object, says: str) -> None:
    with pytest.raises(errors.DataError, match=says):
        value(name, outputs, labels)


def test_missing_labels_say_what_to_do() -> None:
    with pytest.raises(errors.DataError, match=r"set labels = .*agreement"):
        Metric(name="top1").value(ROWS, None)
