"""Laws of data-aware weight sharing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.errors import BadInputError
from edgepack.numerics.obs_cluster import cluster, plain, table_shape
from edgepack.numerics.obs_sweep import Curvature
from edgepack.numerics.obs_tables import GRID, on_grid, scales
from tests.numerics.obs_cases import kernels, moments, total

Case = tuple[np.ndarray, Curvature]
per = st.sampled_from(["layer", "channel"])


def distinct(weights: np.ndarray, curvature: Curvature, scope: str) -> int:
    if scope == "layer":
        return len(np.unique(weights))
    columns = np.moveaxis(weights, 1, 0)
    columns = columns.reshape(-1, weights.shape[2]) if curvature.shared else columns.reshape(len(columns), -1)
    return max(len(np.unique(column)) for column in columns.T)


@settings(max_examples=30)
@given(kernels(), st.integers(2, 9), per)
def test_few_values_that_int8_keeps_and_zeros_that_stay(case: Case, clusters: int, scope: str) -> None:
    weights, curvature = case
    found = cluster(weights, curvature, clusters, per=scope, kept=weights != 0)
    assert distinct(found, curvature, scope) <= clusters
    assert not found[weights == 0].any()
    codes = found / scales(found, table_shape(curvature, scope))[:, None]
    assert codes == pytest.approx(np.round(codes), abs=1e-9) and np.abs(codes).max() <= GRID + 1e-9


@settings(max_examples=30)
@given(kernels(), st.integers(2, 9), per)
def test_never_worse_than_the_nearest_of_the_same_values(case: Case, clusters: int, scope: str) -> None:
    weights, curvature = case
    found, nearest = (
        method(weights, curvature, clusters, per=scope, kept=weights != 0) for method in (cluster, plain)
    )
    assert total(weights - found, curvature) <= total(weights - nearest, curvature) * (1 + 1e-9)


@settings(max_examples=30)
@given(kernels(), per)
def test_enough_clusters_change_nothing_on_the_grid(case: Case, scope: str) -> None:
    weights, curvature = case
    gridded = on_grid(weights, table_shape(curvature, scope))
    enough = max(2, distinct(gridded, curvature, scope) + 1)
    assert cluster(gridded, curvature, enough, per=scope, kept=weights != 0) == pytest.approx(
        gridded, abs=1e-9
    )


def test_common_values_serve_the_outputs_that_matter() -> None:
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(1, 40, 2)) + np.array([0.0, 3.0])
    seen = moments(generator, 1, 40, 2)
    errors = {}
    for matters in (0, 1):
        gradient = np.diag([1.0, 1.0])[None] * 1e-3
        gradient[0, matters, matters] = 1.0
        curvature = Curvature.of(
            type(seen)(**{**seen.__dict__, "gradient": gradient}),
        )
        errors[matters] = curvature.loss(weights - cluster(weights, curvature, 4))[0]
    assert errors[0][0] < 0.5 * errors[1][0] and errors[1][1] < 0.5 * errors[0][1]


def test_correlated_inputs_gain_from_feedback() -> None:
    generator = np.random.default_rng(1)
    curvature = Curvature.of(moments(generator, 1, 60, 8))
    weights = generator.normal(size=(1, 60, 8))
    losses = [total(weights - method(weights, curvature, 4), curvature) for method in (cluster, plain)]
    assert losses[0] < 0.6 * losses[1]


def test_impossible_requests_are_refused() -> None:
    curvature = Curvature.of(moments(np.random.default_rng(0), 1, 3, 1))
    with pytest.raises(BadInputError, match="at least 2"):
        cluster(np.ones((1, 3, 1)), curvature, 1)
    with pytest.raises(BadInputError, match="NaN"):
        cluster(np.full((1, 3, 1), np.nan), curvature, 4)
