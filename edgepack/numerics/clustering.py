"""Sharing weights: each channel (or layer) keeps at most k distinct values.

On a line the best k-means is not a search: clusters are intervals of the sorted values, found exactly by
dynamic programming (Wang and Song, 2011) in O(k · n · log n), since the best first member of the last
interval only moves right as values are added. The classic starts with Lloyd's iteration are there as well:
"linear", "density", "kmeans++" and "random", named as in TF-MOT.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError
from edgepack.numerics.intervals import optimal_centroids

Array: TypeAlias = npt.NDArray[Any]
Initialization: TypeAlias = Literal["exact", "linear", "density", "kmeans++", "random"]

INITIALIZATIONS: Final[tuple[Initialization, ...]] = ("exact", "linear", "density", "kmeans++", "random")
EXACT_LIMIT: Final = 500_000
"""Distinct values of all channels up to which "exact" is exact (seconds); above, Lloyd from quantiles."""
LLOYD_SWEEPS: Final = 100


@dataclass(frozen=True, kw_only=True)
class Codebook:
    """A clustered kernel taken apart.

    Attributes:
      codes: int32, of the kernel's shape: which entry of its channel's table each weight is.
      tables: float, [channels, entries], each row ascending, its last value repeated where a channel has
        fewer.
      channel_axes: the axes that number the channels; () for one table.
    """

    codes: npt.NDArray[np.int32]
    tables: Array
    channel_axes: tuple[int, ...]

    def kernel(self) -> Array:
        """The kernel again: every code replaced by its entry."""
        rows = to_rows(self.codes, self.channel_axes)
        return from_rows(np.take_along_axis(self.tables, rows, axis=1), self.codes.shape, self.channel_axes)


def to_rows(kernel: Array, channel_axes: tuple[int, ...]) -> Array:
    """The kernel as [channels, weights per channel]; one row for channel_axes ().

    Example:
      >>> to_rows(np.array([[1, 2, 3], [4, 5, 6]]), (1,)).tolist()
      [[1, 4], [2, 5], [3, 6]]
    """
    rest = tuple(axis for axis in range(kernel.ndim) if axis not in channel_axes)
    channels = int(np.prod([kernel.shape[axis] for axis in channel_axes], dtype=np.int64))
    return kernel.transpose(*channel_axes, *rest).reshape(channels, -1)


def from_rows(rows: Array, shape: tuple[int, ...], channel_axes: tuple[int, ...]) -> Array:
    """The inverse of `to_rows`.

    Example:
      >>> from_rows(np.array([[1, 4], [2, 5], [3, 6]]), (2, 3), (1,)).tolist()
      [[1, 2, 3], [4, 5, 6]]
    """
    order = (*channel_axes, *(axis for axis in range(len(shape)) if axis not in channel_axes))
    moved = rows.reshape([shape[axis] for axis in order])
    return np.ascontiguousarray(moved.transpose(np.argsort(order)))


def cluster(
    kernel: Array,
    clusters: int,
    *,
    channel_axes: tuple[int, ...] = (),
    initialization: Initialization = "exact",
    preserve_zeros: bool = True,
    seed: int = 0,
) -> Array:
    """The kernel with every weight moved to the nearest of at most `clusters` centroids.

    Args:
      kernel: float weights of any shape.
      clusters: at least 1, per channel. Rows with no more distinct values than that are returned unchanged.
      channel_axes: the axes that number the output channels, each with centroids of its own, such as (3,)
        for Conv2D; () for one set of centroids.
      initialization: "exact" (the optimum), or how Lloyd's iteration starts.
      preserve_zeros: exact zeros stay exactly zero; zero is then one of the `clusters` values. A kernel
        whose channel has other weights than zero needs clusters ≥ 2 for it.
      seed: for "kmeans++" and "random".

    Returns:
      The clustered kernel, of the same shape and dtype.

    Raises:
      BadInputError: clusters < 1, or 1 where zeros have to be kept beside other weights; weights that are
        not finite.

    Example:
      >>> cluster(np.array([0.0, 1.0, 1.2, 3.0, 3.2, 0.0]), 3).round(6).tolist()
      [0.0, 1.1, 1.1, 3.1, 3.1, 0.0]
    """
    if clusters < 1:
        raise BadInputError(f"clusters = {clusters}: expected at least 1")
    if not np.isfinite(kernel).all():
        raise BadInputError("a kernel with NaN or infinite weights cannot be clustered; mend the model first")
    rows = to_rows(kernel, channel_axes)
    lists = [_distinct_values(row, clusters, preserve_zeros) for row in rows]
    if initialization == "exact" and sum(len(values) for values, _, _ in lists) <= EXACT_LIMIT:
        tables = optimal_centroids(lists)
    else:
        start: Initialization = "density" if initialization == "exact" else initialization
        generator = np.random.default_rng(seed)
        tables = [
            _lloyd(values, counts, _start(start, values, counts, k, generator)) for values, counts, k in lists
        ]
    moved = np.empty_like(rows)
    for row, table, target in zip(rows, tables, moved, strict=True):
        nearest = _nearest(row, table).astype(kernel.dtype)
        target[:] = np.where(row == 0, row, nearest) if preserve_zeros else nearest
    return from_rows(moved, kernel.shape, channel_axes)


def assignments(kernel: Array, channel_axes: tuple[int, ...] = ()) -> Codebook:
    """Takes a clustered kernel apart into codes and tables, from its values alone.

    Example:
      >>> book = assignments(np.array([0.5, 0.0, 0.5, -1.0]))
      >>> book.codes.tolist(), book.tables.tolist()
      ([2, 1, 2, 0], [[-1.0, 0.0, 0.5]])
    """
    rows = to_rows(kernel, channel_axes)
    found = [np.unique(row, return_inverse=True) for row in rows]
    entries = max((len(values) for values, _ in found), default=0)
    tables = np.stack(
        [np.append(values, np.repeat(values[-1:], entries - len(values))) for values, _ in found]
    )
    codes = np.stack([inverse.reshape(-1) for _, inverse in found]).astype(np.int32)
    return Codebook(
        codes=from_rows(codes, kernel.shape, channel_axes), tables=tables, channel_axes=tuple(channel_axes)
    )


def distinct(kernel: Array, channel_axes: tuple[int, ...] = ()) -> int:
    """The number of distinct values of the channel that has most.

    Example:
      >>> distinct(np.array([[1.0, 2.0], [1.0, 3.0]]), (1,)), distinct(np.array([[1.0, 2.0], [1.0, 3.0]]))
      (2, 3)
    """
    ordered = np.sort(to_rows(kernel, channel_axes), axis=1)
    return int((np.diff(ordered, axis=1) != 0).sum(axis=1).max(initial=0)) + 1 if ordered.size else 0


def _distinct_values(row: Array, clusters: int, preserve_zeros: bool) -> tuple[Array, Array, int]:
    """Sorted distinct values to be clustered, how often each occurs, and into how many clusters."""
    values, counts = np.unique(np.asarray(row, np.float64), return_counts=True)
    zero = values == 0
    if not (preserve_zeros and zero.any()):
        return values, counts.astype(np.float64), clusters
    if clusters == 1 and len(values) > 1:
        raise BadInputError("clusters = 1 cannot keep zeros beside other weights; expected at least 2")
    return values[~zero], counts[~zero].astype(np.float64), clusters - 1


def _start(
    kind: Initialization, values: Array, counts: Array, clusters: int, generator: np.random.Generator
) -> Array:
    """First centroids; the distinct values themselves where there are no more than clusters."""
    if len(values) <= clusters:
        return values
    if kind == "linear":
        return np.linspace(float(values[0]), float(values[-1]), clusters)
    if kind == "density":
        positions = (np.arange(clusters) + 0.5) / clusters * counts.sum()
        chosen = np.searchsorted(np.cumsum(counts), positions)
    elif kind == "random":
        chosen = generator.choice(len(values), clusters, replace=False, p=counts / counts.sum())
    elif kind == "kmeans++":
        chosen = _far_apart(values, counts, clusters, generator)
    else:
        raise BadInputError(
            f'initialization "{kind}" is unknown; expected one of {", ".join(INITIALIZATIONS)}'
        )
    centroids: Array = values[np.unique(chosen)]
    return centroids


def _far_apart(values: Array, counts: Array, clusters: int, generator: np.random.Generator) -> Array:
    """k-means++ (Arthur and Vassilvitskii, 2007): positions drawn by squared distance to earlier ones."""
    chosen = [int(generator.choice(len(values), p=counts / counts.sum()))]
    while len(chosen) < clusters:
        distance = counts * np.square(values - _nearest(values, values[np.sort(chosen)]))
        if not distance.sum() > 0:  # differences so small that their squares vanish
            break
        chosen.append(int(generator.choice(len(values), p=distance / distance.sum())))
    return np.array(chosen)


def _lloyd(values: Array, counts: Array, centroids: Array) -> Array:
    """Lloyd's iteration on sorted values until nothing moves; a cluster without members keeps its place."""
    weights = np.append(0.0, np.cumsum(counts))
    sums = np.append(0.0, np.cumsum(counts * values))
    for _ in range(LLOYD_SWEEPS):
        inner = np.searchsorted(values, (centroids[1:] + centroids[:-1]) / 2, side="right")
        bounds = np.concatenate([[0], inner, [len(values)]])
        mass = np.diff(weights[bounds])
        means = np.divide(np.diff(sums[bounds]), mass, out=centroids.copy(), where=mass > 0)
        if np.array_equal(means, centroids):
            break
        centroids = means
    return centroids


def _nearest(values: Array, table: Array) -> Array:
    """For each value the nearest entry of an ascending table; the values themselves if it is empty."""
    if len(table) == 0:
        return values
    entries: Array = table[np.searchsorted((table[1:] + table[:-1]) / 2, values, side="right")]
    return entries
