"""Fronts and volumes against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgepack.tune import pareto


@pytest.mark.parametrize("objectives", [1, 2, 3, 4])
def test_the_volume_is_that_of_a_fine_grid(objectives: int) -> None:
    draw = np.random.default_rng(objectives)
    points = draw.integers(0, 6, (7, objectives)).astype(float)
    reference = np.full(objectives, 5.0)
    cells = np.stack(np.meshgrid(*[np.arange(5)] * objectives, indexing="ij"), -1).reshape(-1, objectives)
    dominated = (points[None] <= cells[:, None]).all(axis=2).any(axis=1)
    assert pareto.hypervolume(points, reference) == pytest.approx(dominated.sum())


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_only_the_front_counts_and_gains_are_differences(found: list[tuple[int, int]]) -> None:
    points, reference = np.array(found, float), np.array([9.0, 9.0])
    kept = pareto.front(points)
    whole = pareto.hypervolume(points, reference)
    assert pareto.hypervolume(points[kept], reference) == pytest.approx(whole)
    assert all(not ((points <= points[n]).all(axis=1) & (points < points[n]).any(axis=1)).any() for n in kept)
    first, rest = points[:1], points[1:]
    gains = pareto.gains(rest, first, reference)
    for point, gain in zip(rest, gains, strict=True):
        joined = pareto.hypervolume(np.vstack([first, point]), reference)
        assert gain == pytest.approx(joined - pareto.hypervolume(first, reference))
