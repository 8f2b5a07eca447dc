"""Tables of values that weights choose from: one for a whole kernel, or one for each of its output channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]

GRID: Final = 127
"""Integer code of the largest magnitude: int8 weights are symmetric in TFLite."""


@dataclass(frozen=True, eq=False)
class Tables:
    """The values to choose from.

    Attributes:
      values: [a, b, k] for weights [g, d, n], ascending along the last axis, its last value repeated where there are
        fewer; a is g or 1, b is n or 1: a table for each output channel, or common ones.
    """

    values: Array

    def index(self, wanted: Array) -> Array:
        """Which entry is nearest to each of `wanted` [g, n] or [g, d, n]."""
        middles = (self.values[..., 1:] + self.values[..., :-1]) / 2
        if middles.shape[:2] == (1, 1):
            return np.searchsorted(middles[0, 0], wanted)
        middles = middles if wanted.ndim == 2 else middles[:, None]
        found: Array = np.zeros(wanted.shape, np.int64)
        for bound in np.moveaxis(middles, -1, 0):  # no array of wanted × k
            found += wanted > bound
        return found

    def take(self, index: Array) -> Array:
        """The entries of these numbers, of the shape of `index` [g, n] or [g, d, n]."""
        if self.values.shape[:2] == (1, 1):
            one: Array = self.values[0, 0][index]
            return one
        table = self.owners(index) * self.values.shape[-1] + index
        found: Array = self.values.reshape(-1)[table]
        return found

    def nearest(self, wanted: Array) -> Array:
        """The nearest entry to each of `wanted` [g, n] or [g, d, n]."""
        return self.take(self.index(wanted))

    def owners(self, like: Array) -> Array:
        """The number of the table of each weight of `like` [g, n] or [g, d, n] (broadcasts with it)."""
        first, second, _ = self.values.shape
        numbers = np.arange(first * second).reshape(first, second)
        return numbers if like.ndim == 2 else numbers[:, None]

    def snapped(self) -> Tables:
        """The values moved to the grid of their table's largest magnitude / 127.

        Example:
          >>> (Tables(np.array([[[-0.4, 0.104, 1.27]]])).snapped().values * 100).round(9).tolist()
          [[[-40.0, 10.0, 127.0]]]
        """
        scale = np.abs(self.values).max(axis=-1, keepdims=True) / GRID
        scale = np.where(scale > 0, scale, 1.0)
        return Tables(np.round(self.values / scale) * scale)


def scales(weights: Array, shape: Sequence[int]) -> Array:
    """The int8 scales that a converter derives for weights [g, d, n]: the largest magnitude / 127, or 1 without any.

    Args:
      shape: [a, b] of the tables, see `Tables`.

    Example:
      >>> scales(np.array([[[2.54, 0.0], [-1.0, 0.0]]]), (1, 2)).tolist()
      [[0.02, 1.0]]
    """
    largest = np.abs(weights).max(axis=1, initial=0.0)
    for axis, size in enumerate(shape):
        if size == 1:
            largest = largest.max(axis=axis, keepdims=True)
    return np.where(largest > 0, largest / GRID, 1.0)


def on_grid(weights: Array, shape: Sequence[int]) -> Array:
    """The weights [g, d, n] rounded to the scales of what they are now, so that int8 keeps them as they are.

    Example:
      >>> (on_grid(np.array([[[1.27], [0.104]]]), (1, 1)) * 100).round(9).ravel().tolist()
      [127.0, 10.0]
    """
    scale = scales(weights, shape)[:, None]
    found: Array = np.round(weights / scale) * scale
    return found
