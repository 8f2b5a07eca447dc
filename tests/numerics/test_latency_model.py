"""Laws of the latency model: what was measured comes back, and nothing takes less than no time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack import errors
from edgepack.numerics.latency_model import (
    LatencyModel,
    Work,
    convolution,
    dense,
    depthwise,
    fitted,
    non_negative,
)

WORKS = [
    *[
        convolution(taps=9, inputs=c, outputs=c, positions=p, read=p * c)
        for c in (8, 32, 64)
        for p in (64, 900)
    ],
    *[depthwise(taps=9, channels=c, positions=p, read=p * c) for c in (16, 128) for p in (49, 400)],
    *[dense(inputs=c, outputs=n) for c in (64, 512) for n in (10, 256)],
    *[Work(kind="elementwise", macs=0, reads=2 * n, writes=n) for n in (8, 1000, 40_000)],
]


def test_a_machine_that_the_model_describes_is_found_again() -> None:
    truth = LatencyModel(
        invoke_us=0.8,
        coefficients={
            kind: (0.4, speed, 0.001, 0.01)
            for kind, speed in (
                ("convolution", 0.005),
                ("depthwise", 0.06),
                ("dense", 0.01),
                ("elementwise", 0.0),
            )
        },
    )
    model = fitted([(work, truth.model_us([work])) for work in WORKS], invoke_us=0.8)
    assert model.model_us(WORKS) == pytest.approx(truth.model_us(WORKS), rel=1e-6)


@settings(deadline=None, max_examples=40)
@given(noise=st.lists(st.floats(0.5, 2.0), min_size=len(WORKS), max_size=len(WORKS)))
def test_no_op_takes_less_than_nothing(noise: list[float]) -> None:
    measured = [(work, factor * (1 + work.macs / 1e5)) for work, factor in zip(WORKS, noise, strict=True)]
    model = fitted(measured, invoke_us=0.5)
    assert all(value >= 0 for each in model.coefficients.values() for value in each)
    assert LatencyModel.from_json(model.to_json()) == model


def test_an_op_without_measurements_counts_as_elementwise() -> None:
    model = LatencyModel(invoke_us=0.0, coefficients={"elementwise": (1.0, 0.0, 0.0, 0.0)})
    assert model.op_us(Work(kind="gather", macs=0, reads=5, writes=5)) == 1.0


@pytest.mark.parametrize(
    "told", [{}, {"invoke_us": 1}, {"invoke_us": 1, "coefficients": {"dense": [1, 2, 3, 4]}}, 3]
)
def test_what_is_no_table_is_refused(told: object) -> None:
    with pytest.raises(errors.BadInputError, match="not a latency table"):
        LatencyModel.from_json(told)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000))
def test_the_non_negative_solution_is_optimal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, wanted = rng.normal(size=(8, 3)), rng.normal(size=8)
    found = non_negative(matrix, wanted)
    slope = matrix.T @ (matrix @ found - wanted)
    assert (found >= 0).all()
    assert (slope >= -1e-8).all()  # Karush–Kuhn–Tucker
    assert np.abs(slope * found).max() < 1e-8
