"""Laws of the knapsack: within the budget, near the best possible, the same every time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.numerics.allocation import Choice, allocate, fits, priced, totals

NUMBER = st.integers(0, 1000).map(float)


def _layers(names: Sequence[str]) -> st.SearchStrategy[dict[str, list[Choice]]]:
    choice = st.builds(
        lambda error, costs: Choice(error=error, costs=dict(zip(names, costs, strict=True))),
        NUMBER,
        st.tuples(*[NUMBER for _ in names]),
    )
    return st.lists(st.lists(choice, min_size=1, max_size=4), min_size=1, max_size=4).map(
        lambda all_choices: {f"layer{number}": each for number, each in enumerate(all_choices)}
    )


def _best(choices: Mapping[str, Sequence[Choice]], budget: Mapping[str, float]) -> float | None:
    found = [
        totals(choices, picked)["error"]
        for positions in itertools.product(*[range(len(each)) for each in choices.values()])
        if fits(choices, picked := dict(zip(choices, positions, strict=True)), budget)
    ]
    return min(found, default=None)


def _largest_step(choices: Mapping[str, Sequence[Choice]]) -> float:
    errors = [[choice.error for choice in each] for each in choices.values()]
    return max(max(each) - min(each) for each in errors)


@settings(deadline=None, max_examples=150)
@given(choices=_layers(["bytes"]), limit=st.integers(0, 3000))
def test_one_budget_is_kept_wherever_it_can_be_and_the_loss_is_near_the_best(
    choices: dict[str, list[Choice]], limit: int
) -> None:
    budget = {"bytes": float(limit)}
    picked, best = allocate(choices, budget), _best(choices, budget)
    assert fits(choices, picked, budget) == (best is not None)
    if best is not None:
        assert best - 1e-9 <= totals(choices, picked)["error"] <= best + _largest_step(choices) + 1e-9


@settings(deadline=None, max_examples=60)
@given(choices=_layers(["bytes", "time"]), limits=st.tuples(st.integers(1, 3000), st.integers(1, 3000)))
def test_several_budgets_are_never_claimed_to_hold_where_none_can(
    choices: dict[str, list[Choice]], limits: tuple[int, int]
) -> None:
    budget = {"bytes": float(limits[0]), "time": float(limits[1])}
    picked = allocate(choices, budget)
    assert picked.keys() == choices.keys()
    assert not (fits(choices, picked, budget) and _best(choices, budget) is None)


def test_two_budgets_that_bind_in_different_layers_are_both_kept() -> None:
    choices = {
        "heavy": [
            Choice(error=0.0, costs={"bytes": 90, "time": 1}),
            Choice(error=1.0, costs={"bytes": 10, "time": 1}),
        ],
        "slow": [
            Choice(error=0.0, costs={"bytes": 1, "time": 90}),
            Choice(error=1.0, costs={"bytes": 1, "time": 10}),
        ],
        "light": [Choice(error=0.0, costs={"bytes": 5, "time": 5}), Choice(error=9.0, costs={})],
    }
    budget = {"bytes": 30.0, "time": 30.0}
    assert allocate(choices, budget) == {"heavy": 1, "slow": 1, "light": 0}


@settings(deadline=None, max_examples=60)
@given(choices=_layers(["bytes"]), price=st.floats(0.0, 100.0), factor=st.floats(1.0, 50.0))
def test_a_higher_price_never_costs_more(
    choices: dict[str, list[Choice]], price: float, factor: float
) -> None:
    low = totals(choices, priced(choices, {"bytes": price}))
    high = totals(choices, priced(choices, {"bytes": price * factor}))
    assert high["bytes"] <= low["bytes"] + 1e-9
    assert high["error"] >= low["error"] - 1e-9


def test_left_over_budget_is_spent() -> None:
    # No price makes the middle choice best (it lies above the hull): only the greedy fill finds it.
    layer = [
        Choice(error=0.0, costs={"bytes": 100}),
        Choice(error=60.0, costs={"bytes": 50}),
        Choice(error=100.0, costs={"bytes": 0}),
    ]
    assert priced({"a": layer}, {"bytes": 0.9}) == {"a": 0}
    assert priced({"a": layer}, {"bytes": 1.1}) == {"a": 2}
    assert allocate({"a": layer}, {"bytes": 60.0}) == {"a": 1}


def test_where_nothing_fits_the_nearest_is_given() -> None:
    choices = {"a": [Choice(error=0.0, costs={"bytes": 9}), Choice(error=5.0, costs={"bytes": 4})]}
    picked = allocate(choices, {"bytes": 3.0})
    assert picked == {"a": 1}
    assert not fits(choices, picked, {"bytes": 3.0})


def test_without_a_budget_every_layer_takes_its_least_error() -> None:
    choices = {"a": [Choice(error=2.0), Choice(error=1.0)], "b": [Choice(error=0.0)]}
    assert allocate(choices, {}) == {"a": 1, "b": 0}


@pytest.mark.parametrize("layers", [0, 60])
def test_many_layers_take_no_time(layers: int) -> None:
    choices = {
        f"layer{number}": [
            Choice(error=1.0 / (rank + 1), costs={"bytes": float(rank * (number + 1))}) for rank in range(200)
        ]
        for number in range(layers)
    }
    budget = {"bytes": 20_000.0}
    assert fits(choices, allocate(choices, budget), budget)
