"""Points of a search space: inside it, on its grid, back from a study as they were."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edgepack.recipe.open_fields import OpenField
from edgepack.tune.space import Space, key

FIELDS = (
    OpenField(name="a", path=("stage", 0, "a"), low=0.3, high=0.8, step=0.1),
    OpenField(name="b", path=("stage", 0, "b"), low=1, high=4),
    OpenField(name="c", path=("stage", 0, "c"), low=1e-4, high=1e-1, log=True),
    OpenField(name="d", path=("stage", 0, "d"), choices=(8, 16, 64)),
    OpenField(name="e", path=("stage", 0, "e"), choices=("x", [1, 2])),
)


def test_drawn_points_are_values_that_optuna_takes() -> None:
    space, draw = Space(fields=FIELDS), np.random.default_rng(0)
    distributions = space.distributions()
    near = None
    for _ in range(200):
        near = space.drawn(draw, near)
        for name, value in near.items():
            distribution = distributions[name]
            assert distribution._contains(distribution.to_internal_repr(value)), (name, value)
    unit = space.unit([near])
    assert unit.shape == (1, 6) and (unit >= 0).all() and (unit <= 1).all()


def test_a_finite_space_is_counted_and_listed() -> None:
    finite = Space(fields=(FIELDS[0], FIELDS[1], FIELDS[3]))
    every = finite.every()
    assert finite.size() == len(every) == len({key(each) for each in every}) == 6 * 4 * 3
    assert sorted({each["a"] for each in every}) == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    assert Space(fields=FIELDS).size() == math.inf


@pytest.mark.parametrize("count", [0, 3])
def test_no_points_have_columns_too(count: int) -> None:
    space = Space(fields=FIELDS)
    points = [space.drawn(np.random.default_rng(n)) for n in range(count)]
    assert space.unit(points).shape == (count, 6)
