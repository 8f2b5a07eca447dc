"""Bootstrap intervals that hold what they promise, and error summaries."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack import errors
from edgepack.numerics.metrics import Metric
from edgepack.numerics.statistics import agreement, output_error, paired_interval
from edgepack.numerics.tallies import Confusion, LabelSets, Mean, Ranking, Tally

NAMES = ("top1", "top2", "f1", "mae", "mse", "agreement", "auc")


def two_models(
    count: int, seed: int, noise: float = 0.2, classes: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outputs of a model, of a noisier copy, and class ids."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, count)
    outputs = np.eye(classes)[labels] * 0.6 + random.random((count, classes))
    return outputs, outputs + random.normal(0, noise, outputs.shape), labels


def labels_for(name: str, labels: np.ndarray) -> np.ndarray | None:
    if name == "agreement":
        return None
    if name == "auc":
        return (labels == 2).astype(int)
    return np.eye(3)[labels] if name in ("mae", "mse") else labels


@pytest.mark.parametrize("name", NAMES)
def test_the_drop_lies_inside_and_the_seed_decides(name: str) -> None:
    before, after, ids = two_models(300, seed=1)
    metric, labels = Metric(name=name), labels_for(name, ids)
    low, high = paired_interval(metric, before, after, labels)
    truth = before if labels is None else labels
    drop = metric.drop(metric.value(before, truth), metric.value(after, truth))
    assert low <= drop <= high
    assert low < high
    assert paired_interval(metric, before, after, labels) == (low, high)
    if name in ("mae", "mse", "auc"):  # shares of 300 samples may well meet again
        assert paired_interval(metric, before, after, labels, seed=1) != (low, high)


@pytest.mark.parametrize("name", NAMES)
def test_equal_models_have_no_drop(name: str) -> None:
    outputs, _, ids = two_models(100, seed=0)
    assert paired_interval(Metric(name=name), outputs, outputs, labels_for(name, ids)) == (0.0, 0.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(["top1", "top2", "f1", "mae", "auc"]))
def test_weights_are_repetitions(seed: int, name: str) -> None:
    """A tally under multiplicities equals the metric of the rows really repeated."""
    outputs, _, ids = two_models(30, seed)
    labels = labels_for(name, ids)
    assert labels is not None
    rows = np.random.default_rng(seed).integers(0, 30, 30)
    weights = np.bincount(rows, minlength=30).astype(float)[None]
    resampled = labels[rows]
    if name == "auc" and resampled.min() == resampled.max():
        return
    metric = Metric(name=name)
    expected = metric.value(outputs[rows], resampled)
    assert metric.tally(outputs, labels).weighted(weights)[0] == pytest.approx(expected, abs=1e-12)


def test_time_steps_of_a_sample_stay_together() -> None:
    random = np.random.default_rng(0)
    scores, labels = random.random((20, 5, 1)), random.integers(0, 2, (20, 5))
    rows = random.integers(0, 20, 20)
    weights = np.bincount(rows, minlength=20).astype(float)[None]
    for name in ("auc", "f1", "top1"):
        expected = Metric(name=name).value(scores[rows], labels[rows])
        assert Metric(name=name).tally(scores, labels).weighted(weights)[0] == pytest.approx(expected)


def test_undefined_draws_are_nan_not_zero() -> None:
    nothing = np.array([[0.0, 1.0]])
    tallies: list[Tally] = [
        Ranking(scores=np.array([[0.1], [0.9]]), positive=np.array([[True], [False]])),
        Confusion(predicted=np.array([[1], [0]]), actual=np.array([[1], [0]]), binary=True),
        LabelSets(predicted=np.array([[True], [False]]), actual=np.array([[True], [False]])),
    ]
    for tally in tallies:
        assert np.isnan(tally.weighted(nothing)[0])
    assert Mean(scores=np.array([1.0, 3.0])).weighted(nothing)[0] == 3.0


@pytest.mark.parametrize(("name", "least"), [("top1", 0.88), ("auc", 0.86), ("mae", 0.86)])
def test_intervals_cover_the_true_drop(name: str, least: float) -> None:
    """Of 100 evaluation sets, about 95 intervals hold the drop of the whole population."""
    before, after, ids = two_models(60_000, seed=5)
    labels = labels_for(name, ids)
    assert labels is not None
    metric = Metric(name=name)
    truth = metric.drop(metric.value(before, labels), metric.value(after, labels))
    covered = 0
    for start in range(0, 30_000, 300):
        part = slice(start, start + 300)
        low, high = paired_interval(metric, before[part], after[part], labels[part], resamples=200)
        covered += low <= truth <= high
    assert covered / 100 >= least


def test_more_confidence_is_wider_and_more_samples_are_narrower() -> None:
    before, after, ids = two_models(2000, seed=2)
    metric = Metric(name="top1")
    wide = paired_interval(metric, before, after, ids, confidence=0.99)
    usual = paired_interval(metric, before, after, ids)
    few = paired_interval(metric, before[:100], after[:100], ids[:100])
    assert wide[0] <= usual[0] < usual[1] <= wide[1]
    assert usual[1] - usual[0] < few[1] - few[0]


@pytest.mark.parametrize("name", ["top1", "auc", "f1", "mae"])
def test_ten_thousand_rows_take_about_a_second(name: str) -> None:
    before, after, ids = two_models(10_000, seed=3)
    start = time.process_time()
    paired_interval(Metric(name=name), before, after, labels_for(name, ids))
    assert time.process_time() - start < 3.0


def test_users_own_metric() -> None:
    def hits(outputs: np.ndarray, labels: np.ndarray) -> float:
        return float((outputs.argmax(1) == labels).mean())

    before, after, ids = two_models(200, seed=4)
    metric = Metric(name="mine:hits", function=hits)
    low, high = paired_interval(metric, before, after, ids)
    built_in = paired_interval(Metric(name="top1"), before, after, ids)
    assert (low, high) == pytest.approx(built_in, abs=0.02)


def test_refusals() -> None:
    before, after, ids = two_models(20, seed=0)
    with pytest.raises(errors.DataError, match="confidence is 95"):
        paired_interval(Metric(name="top1"), before, after, ids, confidence=95)
    with pytest.raises(errors.DataError, match="needs labels"):
        paired_interval(Metric(name="top1"), before, after, None)
    with pytest.raises(errors.DataError, match="cannot be compared"):
        output_error(before, after[:, :2])
    with pytest.raises(errors.DataError, match="no outputs"):
        output_error(before[:0], after[:0])
    with pytest.raises(errors.DataError, match="cannot be compared"):
        agreement(before, after[:, :2])


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 1000))
def test_error_summary(scale: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    signal = random.normal(size=(50, 3)) * scale
    found = output_error(signal, signal + 0.01 * scale)
    assert found.max_abs == pytest.approx(0.01 * scale, rel=1e-6)
    assert found.mean_abs == pytest.approx(found.rms, rel=1e-6)
    assert found.sqnr_db == pytest.approx(10 * np.log10(np.mean(signal**2) / (0.01 * scale) ** 2), abs=1e-6)
    assert output_error(signal, signal).sqnr_db is None
