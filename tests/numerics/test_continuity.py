"""Which integers stay: within the old values and zeros, the changes that buy most first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from edgepack.numerics.continuity import Proposal, nearest, propose, propose_bias, thresholds


def proposal(seed: int, *, clusters: int = 8, zeros: float = 0.5) -> tuple[Proposal, np.ndarray]:
    generator = np.random.default_rng(seed)
    values = np.sort(generator.choice(np.arange(1, 120), clusters - 1, replace=False)) * generator.choice(
        [-1, 1], clusters - 1
    )
    old = generator.choice(values, (6, 40))
    old[generator.random(old.shape) < zeros] = 0
    target = old + generator.normal(0, 12, old.shape)
    return propose(old, target, np.full((1, 1), 0.5), low=-127, high=127), target


@given(seed=some.integers(0, 1000), zeros=some.sampled_from([0.0, 0.6]))
def test_changes_stay_within_the_old_codebook_and_mask(seed: int, zeros: float) -> None:
    found, target = proposal(seed, zeros=zeros)
    for old, new in zip(found.old, found.new, strict=True):
        assert set(new.tolist()) <= set(old.tolist())
    if zeros:
        assert not found.new[found.old == 0].any()
    assert (np.abs(found.new - target) <= np.abs(found.old - target) + 1e-9).all()
    assert ((found.gain > 0) == (found.new != found.old)).all()


def test_a_kernel_that_was_not_clustered_uses_every_integer() -> None:
    old = np.arange(-127, 128)[None, :]
    found = propose(old, old + 3.4, np.ones((1, 1)), low=-127, high=127)
    assert (found.new[0, :-4] == old[0, :-4] + 3).all() and found.new.max() == 127


@given(seed=some.integers(0, 200))
def test_more_changes_come_nearer_and_hold_the_dearer_ones(seed: int) -> None:
    found, target = proposal(seed)
    before, taken = np.inf, np.zeros(found.old.shape, bool)
    for threshold in thresholds([found], [0.0, 0.1, 0.3, 1.0]):
        made = found.taken(threshold)
        error = float(((made - target) ** 2).sum())
        assert error <= before and not (taken & (made == found.old)).any()
        before, taken = error, made != found.old
    assert (found.taken(np.inf) == found.old).all()
    assert int(taken.sum()) == found.changes


def test_shares_count_changes_of_all_constants_together() -> None:
    both = [proposal(1)[0], proposal(2)[0]]
    (threshold,) = thresholds(both, [0.25])
    changed = sum(int((each.taken(threshold) != each.old).sum()) for each in both)
    assert changed == pytest.approx(0.25 * sum(each.changes for each in both), abs=1)


def test_inputs_that_are_always_zero_are_never_worth_a_change() -> None:
    found = propose(
        np.array([[10, 20]]), np.array([[20.0, 10.0]]), np.array([[0.0, 1.0]]), low=-127, high=127
    )
    assert found.new.tolist() == [[10, 10]]


def test_a_bias_is_weighed_per_channel() -> None:
    found = propose_bias(np.array([100, 100]), np.array([140.2, 100.3]), np.array([1e-3, 1e-3]))
    assert found.new.tolist() == [140, 100] and found.gain[0] > 0 == found.gain[1]


def test_nearest_takes_the_ends_for_what_lies_beyond() -> None:
    assert nearest(np.array([5]), np.array([-100.0, 100.0])).tolist() == [5, 5]
