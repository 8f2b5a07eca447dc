"""What was measured corrects what was predicted."""

from __future__ import annotations

import numpy as np

from edgepack.tune import surrogate


def test_a_cost_that_is_a_line_of_the_prediction_is_met() -> None:
    draw = np.random.default_rng(0)
    size, points = draw.uniform(1e4, 9e4, 40), draw.random((40, 3))
    real = 1.07 * size + 1500
    found = surrogate.of_size(size[6:], points[6:], size[:6], points[:6], real[:6])
    assert np.abs(found.mean / real[6:] - 1).max() < 0.03


def test_a_drop_that_follows_the_loss_is_ordered_and_near() -> None:
    draw = np.random.default_rng(1)
    loss, points = 10 ** draw.uniform(-4, 1, 60), draw.random((60, 3))
    drop = 0.08 * np.log1p(loss / 0.02)
    found = surrogate.of_loss(loss[8:], points[8:], loss[:8], points[:8], drop[:8])
    assert np.abs(found.mean - drop[8:]).max() < 0.03
    assert (np.argsort(found.mean) == np.argsort(drop[8:])).mean() > 0.7


def test_without_measurements_the_prediction_alone_speaks() -> None:
    none = np.zeros(0), np.zeros((0, 2)), np.zeros(0)
    found = surrogate.of_loss(np.array([0.0, 0.1, 1.0]), np.zeros((3, 2)), *none)
    assert (np.diff(found.mean) > 0).all() and found.mean[0] == 0.0 and (found.deviation > 0).all()
    sizes = surrogate.of_size(np.array([1e4, 2e4]), np.zeros((2, 2)), *none)
    assert sizes.mean.tolist() == [1e4, 2e4]


def test_what_the_prediction_does_not_know_is_learnt_from_the_settings() -> None:
    draw = np.random.default_rng(2)
    points = draw.random((50, 1))
    hidden = 0.1 * np.sin(3 * points[:, 0])
    found = surrogate.of_loss(np.zeros(30), points[20:], np.zeros(20), points[:20], hidden[:20])
    assert np.abs(found.mean - hidden[20:]).max() < 0.02
    assert found.deviation.max() < 0.05
