"""Curves of channels in loss units: laws, and widths chosen by them."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.numerics.channel_pruning import Curve, LooseReading, Reading, curve, paired, ranked, rows_of
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.second_order import DAMPING
from edgepack.numerics.width_search import ladder, search


def statistics(seed: int, inputs: int, outputs: int) -> LayerStatistics:
    random = np.random.default_rng(seed)
    x, g = random.normal(size=(200, inputs)), random.normal(size=(200, outputs))
    return LayerStatistics(
        mean=x.mean(axis=0)[None], covariance=np.cov(x.T, bias=True).reshape(1, inputs, inputs),
        gradient=(g.T @ g / 200)[None], positions=3.0, samples=200,
    )  # fmt: skip


@settings(max_examples=25)
@given(st.integers(0, 2**16), st.integers(1, 3), st.integers(2, 6))
def test_errors_add_up_to_what_the_best_weights_without_them_cost(
    seed: int, taps: int, channels: int
) -> None:
    """The last error is that of the least-squares optimum over the one channel that stays."""
    moments = statistics(seed, taps * channels, 4)
    kernel = np.random.default_rng(seed + 1).normal(size=(taps * channels, 4))
    rows = rows_of(np.arange(channels)[:, None], channels, taps)
    found = curve([Reading(kernel, moments, rows)], channels)
    assert sorted(found.order.tolist()) != list(range(channels)) and len(found.order) == channels - 1
    assert (np.diff(found.errors) >= -1e-12).all()
    stay = rows[found.staying(1)[0]]
    gone = np.setdiff1d(np.arange(taps * channels), stay)
    covariance = moments.covariance[0]
    damped = covariance + DAMPING * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    delta = np.zeros_like(kernel)
    delta[gone] = -kernel[gone]
    delta[stay] = np.linalg.solve(damped[np.ix_(stay, stay)], damped[np.ix_(stay, gone)] @ kernel[gone])
    wanted = 0.5 * moments.positions * np.trace(delta.T @ damped @ delta @ moments.gradient[0])
    np.testing.assert_allclose(found.errors[-1], wanted, rtol=1e-3)


def test_a_channel_that_repeats_another_goes_first_for_nothing() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(500, 3))
    x = np.concatenate([x, x[:, :1]], axis=1)
    moments = LayerStatistics(
        mean=x.mean(axis=0)[None], covariance=np.cov(x.T, bias=True)[None], gradient=np.eye(2)[None],
        positions=1.0, samples=500,
    )  # fmt: skip
    found = curve([Reading(random.normal(size=(4, 2)), moments, np.arange(4)[:, None])], 4)
    assert found.order[0] in (0, 3) and found.errors[1] < 0.05 * found.errors[2]


def test_independent_inputs_cost_the_same_in_both_readings() -> None:
    random = np.random.default_rng(1)
    variances = random.uniform(0.5, 2.0, 4)
    kernel = random.normal(size=(4, 3))
    common = {"gradient": np.eye(3)[None], "positions": 2.0, "samples": 9}
    whole = LayerStatistics(mean=np.zeros((1, 4)), covariance=np.diag(variances)[None], **common)
    loose = LayerStatistics(
        mean=np.zeros((4, 1)), covariance=variances[:, None, None], layout="blocks", **common
    )
    rows = np.arange(4)[:, None]
    one, other = (
        curve([view], 4) for view in (Reading(kernel, whole, rows), LooseReading(kernel, loose, rows))
    )
    assert one.order.tolist() == other.order.tolist()
    np.testing.assert_allclose(one.errors, other.errors, rtol=0.03)


def test_gains_that_cancel_cost_nothing_together() -> None:
    found = paired(np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 9.0]]))
    assert found.order.tolist() == [0, 1] and found.errors.tolist() == [0.0, 0.5, 0.5]


def test_widths_are_multiples_and_the_goal_is_met_at_least_loss() -> None:
    cheap, dear = ranked(np.full(16, 0.01)), ranked(np.full(16, 1.0))
    ladders = {1: ladder(cheap, 4), 2: ladder(dear, 4)}
    widths = search(ladders, lambda w: w[1] + w[2], lambda w: w[1] + w[2], 24)
    assert widths == {1: 8, 2: 16}
    assert search(ladders, lambda w: w[1] + w[2], lambda w: w[1] + w[2], 1) == {1: 4, 2: 4}


def test_a_saving_that_comes_in_steps_is_found() -> None:
    """The price falls only every 8 channels: two steps at once are weighed."""
    flat = Curve(order=np.arange(15), errors=np.linspace(0.0, 1.0, 16))
    steep = Curve(order=np.arange(15), errors=np.linspace(0.0, 100.0, 16))
    price = lambda w: -(-w[1] // 8) * 8.0 + w[2]  # noqa: E731
    widths = search({1: ladder(flat, 4), 2: ladder(steep, 4)}, price, lambda w: w[1] + w[2], 24)
    assert widths == {1: 8, 2: 16}
