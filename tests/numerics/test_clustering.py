"""Laws of weight clustering."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.errors import BadInputError
from edgepack.numerics import clustering
from edgepack.numerics.clustering import assignments, cluster, distinct

kinds = st.sampled_from(clustering.INITIALIZATIONS)


@st.composite
def kernels(draw: Any) -> tuple[np.ndarray, tuple[int, ...]]:
    """A kernel with some zeros and repeated values, and channel axes for it."""
    shape = draw(st.sampled_from([(9,), (7, 5), (3, 4, 5), (3, 3, 2, 4)]))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    kernel = generator.normal(size=shape).round(draw(st.sampled_from([1, 8])))
    kernel[generator.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.9, 1.0]))] = 0.0
    axes = draw(
        st.sampled_from([(), (len(shape) - 1,), (len(shape) - 2, len(shape) - 1) if len(shape) > 1 else (0,)])
    )
    return kernel.astype(np.float32), axes


def squared_error(values: np.ndarray, clustered: np.ndarray) -> float:
    return float(np.square(values - clustered).sum())


def optimum(values: np.ndarray, clusters: int) -> float:
    """The least squared error, by trying every way to cut the sorted values."""
    ordered = np.sort(values)
    cuts = itertools.combinations(range(1, len(ordered)), min(clusters, len(ordered)) - 1)
    return min(
        sum(float(((part - part.mean()) ** 2).sum()) for part in np.split(ordered, cut)) for cut in cuts
    )


@given(kernels(), st.integers(2, 6), kinds)
def test_at_most_k_distinct_values_and_zeros_stay(
    case: tuple[np.ndarray, tuple[int, ...]], k: int, kind: Any
) -> None:
    kernel, axes = case
    clustered = cluster(kernel, k, channel_axes=axes, initialization=kind, seed=1)
    assert clustered.shape == kernel.shape and clustered.dtype == kernel.dtype
    assert distinct(clustered, axes) <= k
    assert (clustered[kernel == 0] == 0).all()


@given(kernels(), st.integers(2, 6), kinds)
def test_clustering_twice_changes_nothing(
    case: tuple[np.ndarray, tuple[int, ...]], k: int, kind: Any
) -> None:
    kernel, axes = case
    once = cluster(kernel, k, channel_axes=axes, initialization=kind)
    assert np.array_equal(cluster(once, k, channel_axes=axes, initialization=kind), once)


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=9), st.integers(1, 5))
def test_exact_is_the_optimum(found: list[float], k: int) -> None:
    values = np.array(found)
    clustered = cluster(values, k, preserve_zeros=False)
    assert squared_error(values, clustered) == pytest.approx(optimum(values, k), abs=1e-9)


@pytest.mark.parametrize("kind", ["linear", "density", "kmeans++", "random"])
def test_lloyd_is_never_better_than_exact(kind: Any) -> None:
    kernel = np.random.default_rng(0).standard_t(3, size=(200, 8))
    exact = squared_error(kernel, cluster(kernel, 8, channel_axes=(1,)))
    lloyd = squared_error(kernel, cluster(kernel, 8, channel_axes=(1,), initialization=kind))
    assert exact <= lloyd * (1 + 1e-12) <= squared_error(kernel, np.zeros_like(kernel))


def test_channels_are_solved_side_by_side_as_if_alone() -> None:
    kernel = np.random.default_rng(1).normal(size=(50, 6)) * [1, 10, 100, 1, 1, 1]
    kernel[:, 3] = 0.0
    kernel[20:, 4] = 0.5
    kernel[kernel[:, 5] < 0, 5] = 0.0
    together = cluster(kernel, 5, channel_axes=(1,))
    alone = np.stack([cluster(kernel[:, channel], 5) for channel in range(6)], axis=1)
    assert together == pytest.approx(alone, abs=1e-12)


def test_more_clusters_are_never_worse() -> None:
    kernel = np.random.default_rng(2).normal(size=300)
    losses = [squared_error(kernel, cluster(kernel, k)) for k in (1, 2, 4, 8, 16, 300)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == 0.0


def test_above_the_limit_lloyd_from_quantiles_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = np.random.default_rng(2).normal(size=300)
    monkeypatch.setattr(clustering, "EXACT_LIMIT", 299)
    assert np.array_equal(cluster(kernel, 4), cluster(kernel, 4, initialization="density"))


@given(st.integers(0, 100))
@settings(max_examples=20)
def test_seeds_repeat(seed: int) -> None:
    kernel = np.random.default_rng(0).normal(size=(40, 3))
    for kind in ("random", "kmeans++"):
        one, other = (cluster(kernel, 4, channel_axes=(1,), initialization=kind, seed=seed) for _ in range(2))
        assert one.tobytes() == other.tobytes()


@given(kernels())
def test_assignments_rebuild_the_kernel(case: tuple[np.ndarray, tuple[int, ...]]) -> None:
    kernel, axes = case
    book = assignments(kernel, axes)
    assert np.array_equal(book.kernel(), kernel)
    assert book.tables.shape[1] == distinct(kernel, axes)
    assert (np.diff(book.tables, axis=1) >= 0).all()


@given(kernels())
def test_rows_and_back(case: tuple[np.ndarray, tuple[int, ...]]) -> None:
    kernel, axes = case
    assert np.array_equal(clustering.from_rows(clustering.to_rows(kernel, axes), kernel.shape, axes), kernel)


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(BadInputError, match="at least 1"):
        cluster(np.ones(3), 0)
    with pytest.raises(BadInputError, match="at least 2"):
        cluster(np.array([0.0, 1.0, 2.0]), 1)
    with pytest.raises(BadInputError, match="NaN"):
        cluster(np.array([np.nan, 1.0]), 2)
    with pytest.raises(BadInputError, match="initialization"):
        cluster(np.arange(9.0), 2, initialization="best")  # type: ignore[arg-type]
