"""Which range of an activation its 256 codes should cover: all of it, all but the rarest, or the least error.

A wide range wastes codes on values that hardly occur, a narrow one clips those that do. Everything here works on a
histogram of the values, so that a calibration set is looked at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
LEVELS = 256
SEARCHED = 64
"""Ends tried per side by `least_squares`."""


def percentile(histogram: Array, low: float, high: float, *, share: float = 0.9999) -> tuple[float, float]:
    """The range without the rarest values at either end.

    Args:
      histogram: counts [bins] over equal bins from `low` to `high`.
      low, high: smallest and largest value.
      share: of the values below the upper end, and above the lower end.

    Returns:
      (lower, upper), containing 0, inside of what `low` … `high` and 0 span.

    Example:
      >>> percentile(np.array([9_999, 0, 0, 1]), 0.0, 4.0, share=0.999)
      (0.0, 1.0)
    """
    counts = np.asarray(histogram, np.float64)
    edges = np.linspace(low, high, len(counts) + 1)
    below = np.cumsum(counts)
    if not below[-1] or high <= low:
        return _with_zero(low, high)
    above = np.cumsum(counts[::-1])[::-1]
    last = int(np.argmax(below >= share * below[-1]))
    first = len(counts) - 1 - int(np.argmax(above[::-1] >= share * below[-1]))
    return _with_zero(float(edges[first]), float(edges[last + 1]))


def least_squares(histogram: Array, low: float, high: float) -> tuple[float, float]:
    """The range whose 256 codes reproduce the values with the least mean squared error.

    Inside the range a value is off by a rounding error of variance step²/12, outside by its distance to the
    nearest end; zero is a code of its own and costs nothing. Both ends are searched from the whole range inwards.

    Args:
      histogram, low, high: as in `percentile`.

    Source: Sung, Shin and Hwang (2015), "Resiliency of deep neural networks under quantization", section 3.1 (the L2
    criterion); uniform rounding noise as in Widrow and Kollár (2008).

    Example:
      >>> counts = np.zeros(1000); counts[:100] = 1000; counts[-1] = 1
      >>> lower, upper = least_squares(counts, 0.0, 1000.0)
      >>> lower, upper < 1000.0
      (0.0, True)
    """
    counts = np.asarray(histogram, np.float64)
    if not counts.sum() or high <= low:
        return _with_zero(low, high)
    bottom, top = _with_zero(low, high)
    edges = np.linspace(low, high, len(counts) + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    counts = np.where((edges[:-1] <= 0.0) & (edges[1:] > 0.0), 0.0, counts)
    lowers = bottom * np.linspace(0.0, 1.0, SEARCHED) if bottom < 0.0 else np.zeros(1)
    uppers = top * np.linspace(0.0, 1.0, SEARCHED) if top > 0.0 else np.zeros(1)
    # Each end clips on its own; the share inside is what neither end cuts off.
    cut_low = np.array([_clipped(counts, end - centres) for end in lowers])
    cut_high = np.array([_clipped(counts, centres - end) for end in uppers])
    inside = counts.sum() - cut_low[:, None, 1] - cut_high[None, :, 1]
    step = (uppers[None, :] - lowers[:, None]) / (LEVELS - 1)
    cost = cut_low[:, None, 0] + cut_high[None, :, 0] + inside * step**2 / 12.0
    row, column = np.unravel_index(int(np.argmin(cost)), cost.shape)
    return float(lowers[row]), float(uppers[column])


def _clipped(counts: Array, beyond: Array) -> tuple[float, float]:
    """Squared distance to the end of what lies beyond it, and how many values do."""
    out = np.maximum(beyond, 0.0)
    return float(np.sum(counts * out**2)), float(np.sum(counts[out > 0.0]))


def _with_zero(low: float, high: float) -> tuple[float, float]:
    return min(float(low), 0.0), max(float(high), 0.0)
