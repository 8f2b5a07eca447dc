"""The optimal clustering of points on a line, for many lines at once.

Let D_c(j) be the least squared error of the values up to j in at most c + 1 clusters. Then

    D_c(j) = min over i ≤ j of D_{c−1}(i − 1) + cost(i … j)

and the best i grows with j (Wang and Song, 2011). So j is solved in halving steps: every second unsolved j
searches only between the answers of its two solved neighbours, which makes each halving linear in the number
of values. All lines are solved side by side in flat arrays, which is what makes it fast in numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Line: TypeAlias = tuple[Array, Array, int]
"""Ascending distinct values, how often each occurs, and the number of clusters."""


def optimal_centroids(lines: Sequence[Line]) -> list[Array]:
    """The centroids of least squared error of every line, ascending; the values themselves where they are
    few.

    Example:
      >>> optimal_centroids([(np.array([1.0, 2.0, 9.0]), np.ones(3), 2)])[0].tolist()
      [1.5, 9.0]
    """
    crowded = [number for number, (values, _, clusters) in enumerate(lines) if len(values) > clusters >= 1]
    centroids = [values for values, _, _ in lines]
    # Lines are grouped by their number of clusters, which differs where one has zeros to keep.
    for clusters in sorted({lines[number][2] for number in crowded}):
        group = [number for number in crowded if lines[number][2] == clusters]
        solved = _solve(
            [lines[number][0] for number in group], [lines[number][1] for number in group], clusters
        )
        for number, found in zip(group, solved, strict=True):
            centroids[number] = found
    return centroids


def _solve(values: list[Array], counts: list[Array], clusters: int) -> list[Array]:
    lengths = np.array([len(line) for line in values])
    starts = np.append(0, np.cumsum(lengths))[:-1]
    costs = _Costs(values, counts)
    first = np.repeat(starts, lengths)  # where the line of each position begins
    position = np.arange(lengths.sum())
    error = costs.of(first, position)
    choices = []
    for _ in range(clusters - 1):
        error, choice = _add_cluster(error, costs, first, position, lengths)
        choices.append(choice)
    return [
        _trace(choices, costs, int(start), int(start + length) - 1)
        for start, length in zip(starts, lengths, strict=True)
    ]


class _Costs:
    """Squared error of any interval of the concatenated lines, from prefix sums."""

    def __init__(self, values: list[Array], counts: list[Array]) -> None:
        weights = np.concatenate(counts)
        # Centred line by line: the difference of two large sums would lose the small costs.
        self.centres = np.concatenate([np.full(len(line), line.mean()) for line in values])
        centred = np.concatenate(values) - self.centres
        self.mass, self.sum, self.square = (
            np.append(0.0, np.cumsum(weights * power))
            for power in (np.ones_like(centred), centred, centred**2)
        )

    def of(self, low: Array, high: Array) -> Array:
        """Cost of low … high, both included."""
        total = self.sum[high + 1] - self.sum[low]
        cost: Array = (
            self.square[high + 1] - self.square[low] - total * total / (self.mass[high + 1] - self.mass[low])
        )
        return np.maximum(cost, 0.0)

    def mean(self, low: int, high: int) -> float:
        total = self.sum[high + 1] - self.sum[low]
        return float(total / (self.mass[high + 1] - self.mass[low]) + self.centres[low])


def _add_cluster(
    error: Array, costs: _Costs, first: Array, position: Array, lengths: Array
) -> tuple[Array, Array]:
    """One step of the recursion: errors with one cluster more, and where each last cluster begins."""
    local = position - first
    last = first + np.repeat(lengths, lengths) - 1
    before = np.append(0.0, error)[: len(error)]  # error of everything left of a position …
    before[local == 0] = 0.0  # … which is nothing at the beginning of a line
    choice = np.empty(len(error), np.int64)
    improved = np.empty(len(error))
    step = 1 << (int(lengths.max()) - 1).bit_length()
    while step >= 1:
        solve = np.flatnonzero((local + 1) % (2 * step) == step)
        if len(solve):
            left, right = solve - step, solve + step
            low = np.where(left >= first[solve], choice[np.maximum(left, 0)], first[solve])
            high = np.where(right <= last[solve], choice[np.minimum(right, len(error) - 1)], solve)
            high = np.minimum(high, solve)
            improved[solve], choice[solve] = _best(before, costs, low, high, solve)
        step //= 2
    return improved, choice


def _best(before: Array, costs: _Costs, low: Array, high: Array, ends: Array) -> tuple[Array, Array]:
    """For each end the least of before[i] + cost(i … end) over low ≤ i ≤ high, and the smallest such i."""
    widths = high - low + 1
    offsets = np.append(0, np.cumsum(widths))[:-1]
    candidates = np.arange(widths.sum()) - np.repeat(offsets - low, widths)
    totals = before[candidates] + costs.of(candidates, np.repeat(ends, widths))
    least = np.minimum.reduceat(totals, offsets)
    is_least = np.flatnonzero(totals == np.repeat(least, widths))
    _, earliest = np.unique(np.repeat(np.arange(len(ends)), widths)[is_least], return_index=True)
    return least, candidates[is_least[earliest]]


def _trace(choices: list[Array], costs: _Costs, start: int, end: int) -> Array:
    """Walks back from the end of a line through its chosen intervals."""
    means: list[float] = []
    for choice in reversed(choices):
        if end < start:
            break
        low = int(choice[end])
        means.append(costs.mean(low, end))
        end = low - 1
    if end >= start:
        means.append(costs.mean(start, end))
    return np.array(means[::-1])
