"""What counts as closer: paired, beyond noise, and never where an answer is not a number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.numerics.divergence import closer, divergence, is_distribution


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20)
def test_no_model_is_closer_than_itself(seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(0, 3, (12, 5))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    reference = {"classes": softmax, "values": logits}
    other = {"classes": np.roll(softmax, 1, axis=1), "values": logits + 0.1}
    same, far = divergence(reference, reference), divergence(reference, other)
    assert np.allclose(same, 0.0) and (far > 0.0).all()
    assert closer(same, far) and not closer(far, same) and not closer(far, far)


def test_a_difference_within_noise_is_none() -> None:
    random = np.random.default_rng(0)
    first = random.exponential(1.0, 50)
    assert not closer(first + random.normal(-0.01, 1.0, 50), first)
    assert not closer(first * 0.99, first)  # sure, but next to nothing
    assert closer(first * 0.8, first)


def test_what_is_not_finite_is_infinitely_far() -> None:
    found = divergence({"y": np.ones((2, 3))}, {"y": np.array([[1.0, 1.0, np.nan], [1.0, 1.0, 1.0]])})
    assert found[0] == np.inf and found[1] == 0.0
    assert closer(np.ones(2), found) and not closer(found, np.ones(2))


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        (np.array([[0.2, 0.8]]), True),
        (np.array([[[0.5, 0.5], [1.0, 0.0]]]), True),
        (np.array([[0.2]]), False),
        (np.array([[1.2, -0.2]]), False),
        (np.array([[0.5, 0.6]]), False),
        (np.array([1.0]), False),
    ],
)
def test_distributions_are_told_from_other_outputs(output: np.ndarray, wanted: bool) -> None:
    assert is_distribution(output) is wanted
