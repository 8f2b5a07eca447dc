"""In which order the trials of a generation are started."""

from __future__ import annotations

import doctest

from hypothesis import given
from hypothesis import strategies as st

from edgepack.tune import generations
from edgepack.tune.generations import apart

stages = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 2)), max_size=3)


def test_examples_of_the_documentation() -> None:
    assert doctest.testmod(generations).failed == 0


@given(st.dictionaries(st.integers(0, 99), stages, max_size=8))
def test_every_trial_once_and_those_with_another_beginning_first(given: dict[int, list[object]]) -> None:
    order = apart(given)
    assert sorted(order) == sorted(given) and order == apart(dict(reversed(given.items())))
    begun = [repr(given[number][:1]) for number in order if given[number]]
    different = len(set(begun))
    assert len(set(begun[:different])) == different
