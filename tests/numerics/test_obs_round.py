"""Laws of rounding to few bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.errors import BadInputError
from edgepack.numerics.obs_cluster import table_shape
from edgepack.numerics.obs_round import plain, round_to_grid
from edgepack.numerics.obs_sweep import Curvature, example
from edgepack.numerics.obs_tables import on_grid, scales
from tests.numerics.obs_cases import kernels, moments, total

Case = tuple[np.ndarray, Curvature]
per = st.sampled_from(["layer", "channel"])


@settings(max_examples=30)
@given(kernels(), st.integers(2, 8), per)
def test_a_converter_finds_the_codes_that_were_chosen(case: Case, bits: int, scope: str) -> None:
    weights, curvature = case
    found = round_to_grid(weights, curvature, bits, per=scope, kept=weights != 0)
    kept = found.weights.astype(np.float32)
    derived = scales(kept, table_shape(curvature, scope))[:, None]
    assert np.array_equal(np.rint(kept / derived), found.codes)
    assert len(np.unique(found.codes)) <= 2**bits - 1 and np.abs(found.codes.astype(int)).max() <= 127
    assert not found.codes[weights == 0].any()


@settings(max_examples=30)
@given(kernels(), st.integers(2, 8), per)
def test_never_worse_than_the_nearest_level(case: Case, bits: int, scope: str) -> None:
    weights, curvature = case
    found, nearest = (
        method(weights, curvature, bits, per=scope, kept=weights != 0).weights
        for method in (round_to_grid, plain)
    )
    assert total(weights - found, curvature) <= total(weights - nearest, curvature) * (1 + 1e-9)


@settings(max_examples=30)
@given(kernels(), per)
def test_eight_bits_keep_what_is_on_the_grid(case: Case, scope: str) -> None:
    weights, curvature = case
    gridded = on_grid(weights, table_shape(curvature, scope))
    assert round_to_grid(gridded, curvature, 8, per=scope, kept=weights != 0).weights == pytest.approx(
        gridded, rel=1e-9
    )


def test_more_bits_are_better_and_feedback_pays() -> None:
    generator = np.random.default_rng(2)
    curvature = Curvature.of(moments(generator, 1, 80, 8))
    weights = generator.normal(size=(1, 80, 8))
    losses = [
        total(weights - round_to_grid(weights, curvature, bits).weights, curvature)
        for bits in (2, 3, 4, 6, 8)
    ]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 1e-3 * losses[0]
    assert losses[2] < 0.6 * total(weights - plain(weights, curvature, 4).weights, curvature)


def test_impossible_requests_are_refused() -> None:
    curvature = Curvature.of(moments(np.random.default_rng(0), 1, 3, 1))
    for bits in (1, 9):
        with pytest.raises(BadInputError, match="2 to 8"):
            round_to_grid(np.ones((1, 3, 1)), curvature, bits)
    with pytest.raises(BadInputError, match="NaN"):
        round_to_grid(np.full((1, 3, 1), np.inf), curvature, 4)


@pytest.mark.parametrize(
    ("variance", "rounding"),
    [(0.0, 0.0), (1e-38, 1e-37), (1e-20, 1e-19), (-1e-45, 1e-44), (1.0, 3.0)],
    ids=["dead", "underflow", "tiny", "negative", "indefinite"],
)
def test_inputs_that_hardly_move_are_rounded_all_the_same(variance: float, rounding: float) -> None:
    """Sums in single precision leave a covariance that is none where a network of random weights dies away."""
    generator = np.random.default_rng(1)
    noise = generator.normal(size=(20, 20)) * rounding
    covariance = variance * np.eye(20) + (noise + noise.T) / 2 * (1 - np.eye(20))
    curvature = Curvature.of(example(covariance, outputs=4))
    weights = generator.normal(size=(1, 20, 4))
    found = round_to_grid(weights, curvature, 8)
    assert np.isfinite(curvature.factor).all()
    assert np.abs(found.weights - weights).max() < 0.05


def test_inputs_that_overflow_are_refused() -> None:
    with pytest.raises(BadInputError, match="not finite"):
        Curvature.of(example(np.full((2, 2), np.inf)))
