"""Laws of pruning with repair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.numerics.obs_prune import prune, saliency
from edgepack.numerics.obs_sweep import Curvature
from edgepack.numerics.sparsity import fraction_mask
from tests.numerics.obs_cases import kernels, moments

Case = tuple[np.ndarray, Curvature]


@settings(max_examples=30)
@given(kernels(), st.floats(0.0, 1.0))
def test_repairing_is_never_worse_than_cutting_and_zeros_are_exact(case: Case, fraction: float) -> None:
    weights, curvature = case
    mask = fraction_mask(saliency(weights, curvature), fraction)
    pruned = prune(weights, curvature, mask)
    assert not pruned[~mask].any()
    cut = curvature.loss(weights - np.where(mask, weights, 0.0))
    assert (curvature.loss(weights - pruned) <= cut * (1 + 1e-9) + 1e-12).all()


@settings(max_examples=30)
@given(kernels())
def test_a_full_mask_changes_nothing(case: Case) -> None:
    weights, curvature = case
    assert prune(weights, curvature, np.ones(weights.shape, np.bool_)) == pytest.approx(weights, abs=1e-9)


def test_the_weights_that_stay_are_the_least_squares_ones() -> None:
    generator = np.random.default_rng(3)
    curvature = Curvature.of(moments(generator, 1, 20, 4))
    weights = generator.normal(size=(1, 20, 4))
    mask = fraction_mask(saliency(weights, curvature), 0.6)
    found = prune(weights, curvature, mask)[0]
    sigma = curvature.covariance[0]
    for output, stays in enumerate(mask[0].T):
        wanted = np.linalg.solve(sigma[np.ix_(stays, stays)], sigma[stays] @ weights[0, :, output])
        assert found[stays, output] == pytest.approx(wanted, rel=1e-3, abs=1e-3)


def test_the_cheapest_weight_is_the_one_whose_loss_is_least() -> None:
    generator = np.random.default_rng(5)
    curvature = Curvature.of(moments(generator, 1, 10, 1))
    weights = generator.normal(size=(1, 10, 1))
    last = curvature.order[
        -1
    ]  # nothing comes after it, so its cost is its own: w² Σ_ii, and half of it the loss
    own = weights[0, last, 0] ** 2 * curvature.covariance[0, last, last] * curvature.outputs[0, 0]
    assert saliency(weights, curvature)[0, last, 0] == pytest.approx(0.5 * curvature.positions * own)


@given(st.integers(1, 4), st.integers(65, 200))
@settings(max_examples=10)
def test_blocks_give_what_single_rows_give(outputs: int, depth: int) -> None:
    generator = np.random.default_rng(depth)
    curvature = Curvature.of(moments(generator, 1, depth, outputs))
    weights = generator.normal(size=(1, depth, outputs))
    rest, wanted = weights[0, curvature.order].copy(), np.empty((depth, outputs))
    factor = curvature.factor[0]
    for row in range(depth):
        wanted[row] = np.round(rest[row])
        error = (rest[row] - wanted[row]) / factor[row, row]
        rest[row + 1 :] -= np.outer(factor[row, row + 1 :], error)
    found = curvature.sweep(weights, lambda row, values: np.round(values))
    assert np.array_equal(found[0, curvature.order], wanted)


@settings(max_examples=30)
@given(kernels())
def test_descending_never_climbs(case: Case) -> None:
    weights, curvature = case
    start = np.round(weights)
    found = curvature.descend(weights, start, lambda row, values: np.round(values))
    assert np.array_equal(found, np.round(found))
    before = curvature.loss(weights - start)
    assert (curvature.loss(weights - found) <= before * (1 + 1e-9) + 1e-12).all()


def test_the_factor_is_that_of_the_inverse() -> None:
    curvature = Curvature.of(moments(np.random.default_rng(1), 2, 150, 2))
    ordered = curvature.covariance[:, curvature.order[:, None], curvature.order]
    product = curvature.factor.swapaxes(1, 2) @ curvature.factor @ ordered
    assert product == pytest.approx(np.broadcast_to(np.eye(150), product.shape), abs=1e-6)
    assert not np.tril(curvature.factor, -1).any()
