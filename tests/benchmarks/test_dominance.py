"""When a point beats its rivals."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.scoreboard import command, dominance
from tests.benchmarks.scoreboard.dominance import Point, by_method, line_at, verdict


def point(size_bytes: int, drop: float, method: str = "rival", row: str = "") -> Point:
    return Point(row=row or f"{method}-{size_bytes}", method=method, size_bytes=size_bytes, drop=drop)


def test_examples_of_the_documentation() -> None:
    for module in (dominance, command):
        assert doctest.testmod(module).failed == 0


def test_a_smaller_rival_with_a_smaller_drop_wins() -> None:
    found = verdict(point(30, 0.02, "joint"), [point(29, 0.01)])
    assert not found.dominates
    assert found.best_rival == "rival-29" and found.margin == pytest.approx(-0.01)


def test_an_equal_drop_is_no_win() -> None:
    assert not verdict(point(30, 0.02, "joint"), [point(30, 0.02)]).dominates


def test_a_line_that_passes_above_the_point_wins_though_no_row_does() -> None:
    rivals = [point(20, 0.04), point(40, 0.0)]
    found = verdict(point(30, 0.03, "joint"), rivals)
    assert found.margin == pytest.approx(0.01)
    assert found.best_line == "rival" and found.line_margin == pytest.approx(-0.01)
    assert not found.dominates


def test_larger_rivals_do_not_count() -> None:
    found = verdict(point(30, 0.03, "joint"), [point(31, 0.0)])
    assert found.dominates and found.best_rival is None and found.best_line is None


def test_points_of_the_same_method_are_no_rivals() -> None:
    assert verdict(point(30, 0.03, "joint"), [point(20, 0.0, "joint")]).dominates


@given(
    st.lists(
        st.tuples(st.integers(1, 100), st.floats(-1, 1), st.sampled_from("ab")), min_size=1, max_size=12
    ),
    st.integers(1, 100),
    st.floats(-1, 1),
)
def test_what_dominates_has_the_smallest_drop_of_all_that_are_no_larger(
    rivals: list[tuple[int, float, str]], size_bytes: int, drop: float
) -> None:
    others = [point(size, loss, method) for size, loss, method in rivals]
    found = verdict(point(size_bytes, drop, "joint"), others)
    if found.dominates:
        assert all(other.drop > drop for other in others if other.size_bytes <= size_bytes)


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 1)), min_size=1, max_size=8), st.integers(1, 50))
def test_a_line_stays_within_its_points(points: list[tuple[int, float]], size_bytes: int) -> None:
    line = by_method([point(size, drop) for size, drop in points])["rival"]
    found = line_at(line, size_bytes)
    if found is None:
        assert not line[0].size_bytes <= size_bytes <= line[-1].size_bytes
    else:
        drops = [each.drop for each in line]
        assert min(drops) - 1e-12 <= found <= max(drops) + 1e-12
