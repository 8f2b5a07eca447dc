"""Laws of rounding for error and bytes: on the int8 grid, priced, and as good as it is said to be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.numerics.entropy import entropy_bytes
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.obs_sweep import Curvature
from edgepack.numerics.rate_rounding import Per, estimate, rounded, stiffness
from edgepack.numerics.second_order import loss_increase

Array = np.ndarray[Any, Any]
PERS: list[Per] = ["tensor", "channel"]


def _case(groups: int, inputs: int, outputs: int, seed: int) -> tuple[Array, LayerStatistics]:
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(groups, 3 * inputs, inputs)) @ rng.normal(size=(groups, inputs, inputs))
    gradient = np.stack([np.diag(rng.uniform(0.1, 2.0, outputs)) for _ in range(groups)])
    statistics = LayerStatistics(
        mean=np.zeros((groups, inputs)),
        covariance=mixed.transpose(0, 2, 1) @ mixed / (3 * inputs),
        gradient=gradient,
        positions=4.0,
        samples=10,
        layout="whole" if groups == 1 else "depthwise",
    )
    return rng.normal(size=(groups, inputs, outputs)) * rng.uniform(
        0.5, 2.0, (groups, 1, outputs)
    ), statistics


def _loss(weights: Array, chosen: Array, curvature: Curvature) -> float:
    per_output = curvature.loss(weights - chosen) * curvature.outputs
    return 0.5 * curvature.positions * float(per_output.sum())


@settings(deadline=None, max_examples=40)
@given(
    shape=st.sampled_from([(1, 9, 4), (1, 40, 7), (6, 9, 1), (3, 4, 2), (1, 1, 1)]),
    per=st.sampled_from(PERS),
    exponent=st.integers(-8, 4),
    seed=st.integers(0, 99),
)
def test_the_converter_finds_the_weights_on_its_grid(
    shape: tuple[int, int, int], per: Per, exponent: int, seed: int
) -> None:
    weights, statistics = _case(*shape, seed)
    chosen = rounded(weights, Curvature.of(statistics), 10.0**exponent, per).astype(np.float32)
    axes = 1 if per == "channel" else None
    scale = np.abs(chosen).max(axis=axes, keepdims=True).astype(np.float64) / 127
    codes = chosen / np.where(scale > 0, scale, 1.0)
    assert np.isfinite(chosen).all()
    assert np.abs(codes - np.rint(codes)).max() < 0.02
    assert np.abs(chosen).max() > 0  # a kernel of zeros has no scale


@pytest.mark.parametrize("per", PERS)
@pytest.mark.parametrize("shape", [(1, 64, 32), (48, 9, 1)])
def test_a_higher_price_costs_more_and_weighs_less(per: Per, shape: tuple[int, int, int]) -> None:
    weights, statistics = _case(*shape, 3)
    stiff = np.broadcast_to(stiffness(Curvature.of(statistics)), weights.shape)
    found = [estimate(weights, stiff, 2.0**power, per) for power in range(-16, 6, 2)]
    errors, sizes = [each.error for each in found], [each.delivered_bytes for each in found]
    assert errors == sorted(errors)
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("per", PERS)
@pytest.mark.parametrize("power", [-10, -6, -3])
def test_the_estimate_foretells_the_error(per: Per, power: int) -> None:
    weights, statistics = _case(1, 72, 32, 5)
    curvature = Curvature.of(statistics)
    stiff = np.broadcast_to(stiffness(curvature), weights.shape)
    told = estimate(weights, stiff, 2.0**power, per).error
    assert _loss(weights, rounded(weights, curvature, 2.0**power, per), curvature) == pytest.approx(
        told, rel=0.35
    )


def test_the_loss_of_the_curvature_is_the_proxy_that_all_share() -> None:
    weights, statistics = _case(1, 24, 8, 1)
    curvature = Curvature.of(statistics, damping=1e-9)
    chosen = rounded(weights, curvature, 0.05, "tensor")
    delta = statistics.fold(chosen - weights, (24, 8))
    assert _loss(weights, chosen, curvature) == pytest.approx(loss_increase(delta, statistics), rel=1e-4)


def test_feedback_never_does_worse_than_plain_rounding_at_the_same_bits() -> None:
    weights, statistics = _case(1, 96, 24, 2)
    curvature = Curvature.of(statistics)
    chosen = rounded(weights, curvature, 0.02, "tensor")
    scale = np.abs(chosen).max() / 127
    bits = entropy_bytes(np.bincount(np.rint(chosen / scale).astype(int).ravel() + 127))

    def plain(step: float) -> tuple[float, float]:
        codes = np.rint(weights / step)
        return entropy_bytes(np.bincount(codes.astype(int).ravel() + 500)), _loss(
            weights, codes * step, curvature
        )

    step = next(step for step in np.geomspace(0.05, 8.0, 200) if plain(float(step))[0] <= bits)
    assert _loss(weights, chosen, curvature) < 0.8 * plain(float(step))[1]


def test_it_is_the_same_every_time() -> None:
    weights, statistics = _case(1, 30, 6, 4)
    one, other = (rounded(weights, Curvature.of(statistics), 0.1, "tensor") for _ in range(2))
    assert one.tobytes() == other.tobytes()


def test_a_covariance_that_is_slightly_negative_is_damped_until_it_serves() -> None:
    _, statistics = _case(1, 6, 2, 0)
    negative = replace(statistics, covariance=np.diag([1.0, 1.0, 1.0, 1.0, 1.0, -0.05])[None])
    found = Curvature.of(negative)
    assert np.isfinite(found.factor).all()
    assert (found.covariance[0].diagonal() > 0).all()
