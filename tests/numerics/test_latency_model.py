"""Laws of the latency model: what was measured comes back, and nothing takes less than no time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack import errors
from edgepack.numerics.latency_fit import fitted, non_negative
from edgepack.numerics.latency_model import (
    Kind,
    LatencyModel,
    Work,
    convolution,
    dense,
    depthwise,
)

WORKS = [
    *[
        convolution(taps=9, inputs=c, outputs=c, positions=p, read=p * c)
        for c in (8, 32, 64)
        for p in (64, 900)
    ],
    *[depthwise(taps=9, channels=c, positions=p, read=p * c) for c in (16, 128) for p in (49, 400)],
    *[dense(inputs=c, outputs=n) for c in (64, 512) for n in (10, 256)],
    *[Work(kind="elementwise", outputs=n, positions=1, reads=2 * n) for n in (8, 1000, 40_000)],
]


def test_a_machine_that_the_model_describes_is_found_again() -> None:
    truth = LatencyModel(
        invoke_us=0.8,
        kinds={
            kind: Kind(block=(1, 1), coefficients=(0.4, speed, 0.01, 0.001, 0.0, 0.0))
            for kind, speed in (
                ("convolution", 0.005),
                ("depthwise", 0.06),
                ("dense", 0.01),
                ("elementwise", 0.0),
            )
        },
        cache_bytes=1 << 24,
    )
    model = fitted([(work, truth.model_us([work])) for work in WORKS], invoke_us=0.8)
    assert model.model_us(WORKS) == pytest.approx(truth.model_us(WORKS), rel=1e-6)


@settings(deadline=None, max_examples=40)
@given(noise=st.lists(st.floats(0.5, 2.0), min_size=len(WORKS), max_size=len(WORKS)))
def test_no_op_takes_less_than_nothing(noise: list[float]) -> None:
    measured = [(work, factor * (1 + work.weights / 1e3)) for work, factor in zip(WORKS, noise, strict=True)]
    model = fitted(measured, invoke_us=0.5)
    assert all(value >= 0 for kind in model.kinds.values() for value in kind.coefficients)
    assert LatencyModel.from_json(model.to_json()) == model


def test_an_op_without_measurements_counts_as_elementwise() -> None:
    one = Kind(block=(1, 1), coefficients=(1.0, 0.0, 0.0, 0.0, 0.0, 0.0))
    model = LatencyModel(invoke_us=0.0, kinds={"elementwise": one}, cache_bytes=1 << 20)
    assert model.op_us(Work(kind="gather", outputs=5, positions=1, reads=5)) == 1.0


def test_the_blocks_of_a_matrix_kernel_are_found() -> None:
    """A processor that takes 64 input and 16 output channels at once, as its times show."""
    shapes = [(c, n, p) for c in (3, 16, 64, 100, 192) for n in (8, 16, 40, 128) for p in (49, 400)]
    works = [convolution(taps=9, inputs=c, outputs=n, positions=p, read=p * c) for c, n, p in shapes]
    truth = Kind(block=(64, 16), coefficients=(1.0, 0.002, 0.01, 0.0, 0.0, 0.0))
    other = (Work(kind="elementwise", outputs=8, positions=1, reads=8), 2.0)
    model = fitted([*((work, truth.us(work) + 0.5) for work in works), other], invoke_us=0.5)
    assert model.kinds["convolution"].block == (64, 16)
    assert model.kinds["convolution"].coefficients == pytest.approx(truth.coefficients, abs=1e-6)


def test_weights_beyond_the_cache_cost_extra() -> None:
    """Dense layers that are read at 0.01 µs for a thousand weights, and at 0.07 where a model has a megabyte of them."""
    sizes = [(64, 10), (128, 128), (512, 512), (1000, 800), (2048, 1024), (4096, 1000), (4096, 4096)]
    works = [dense(inputs=c, outputs=n) for c, n in sizes]
    pairs = [(work, 1.5 + work.weights / 1e3 * (0.07 if work.weights > 1 << 20 else 0.01)) for work in works]
    model = fitted([*pairs, (Work(kind="elementwise", outputs=8, positions=1, reads=8), 1.0)], invoke_us=0.5)
    assert model.model_us([works[-1]]) == pytest.approx(pairs[-1][1], rel=0.05)
    alone, many = model.model_us([works[2]]), model.model_us([works[2]] * 20)
    assert many - 0.5 > 4 * 20 * (alone - 0.5)


_TABLE: dict[str, Any] = LatencyModel(
    invoke_us=1.0,
    kinds={"elementwise": Kind(block=(1, 1), coefficients=(1.0,) * 6)},
    cache_bytes=1 << 20,
).to_json()


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"invoke_us": 1},
        {**_TABLE, "kinds": {"dense": _TABLE["kinds"]["elementwise"]}},
        {
            **_TABLE,
            "kinds": {
                "elementwise": {
                    "block": [0, 1],
                    "coefficients": [1, 2, 3, 4, 5, 6],
                    "uncached_us": 0,
                    "rows": 1,
                }
            },
        },
        {
            **_TABLE,
            "kinds": {
                "elementwise": {"block": [1, 1], "coefficients": [1, 2, 3, 4], "uncached_us": 0, "rows": 1}
            },
        },
        3,
    ],
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
