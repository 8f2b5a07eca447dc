"""What taking channels away costs in loss units, in which order they go, and how what reads them makes up for it.

A layer y = Wᵀx + b loses the inputs S of a channel. With Σ the covariance of x, U = (Σ + λI)⁻¹ and G the covariance of
the loss gradient at y, the weights that stay make up for it best by W ← W − U_·S U_SS⁻¹ W_S, and the loss still rises by
(T/2) tr(W_Sᵀ U_SS⁻¹ W_S G). Channels go one after the other, always the one that costs least, U and W following, so the
errors add up to that of the whole set.

Source: Hassibi and Stork (1993), "Optimal brain surgeon"; Kurtić et al. (2023), "ZipLM", arXiv 2302.04089 (blocks of
inputs, here weighted by the output gradient as in K-FAC, and summed over all layers that read a channel).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.second_order import DAMPING, GRADIENT_FLOOR, square_root

Array: TypeAlias = npt.NDArray[Any]
Indices: TypeAlias = npt.NDArray[np.int64]

LARGE_STEP = 64
"""A group of more channels than this loses several at a time, so that it takes about as many steps."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """In which order the channels of a group go, and the loss that it costs.

    Attributes:
      order: all channels but the last one to stay, in the order in which they go.
      errors: [len(order) + 1] loss units after 0, 1, 2 … channels are gone; never falling.
    """

    order: Indices
    errors: Array

    def staying(self, width: int) -> Indices:
        """The `width` channels that stay longest, ascending."""
        gone = self.order[: len(self.order) + 1 - width]
        return np.setdiff1d(np.arange(len(self.order) + 1), gone)

    def error(self, width: int) -> float:
        """Loss units at that width."""
        return float(self.errors[len(self.order) + 1 - width])


class Reading:
    """One layer that reads a group, while the group's channels go.

    Args:
      kernel: matrix [d, n] of the layer.
      statistics: of that kernel, layout "whole".
      rows: [channels, k]: rows of the matrix that belong to each channel.
    """

    def __init__(self, kernel: Array, statistics: LayerStatistics, rows: Indices) -> None:
        self._rows = rows
        self._weights = _in_loss_units(kernel, statistics)
        self._inverse = np.linalg.inv(_damped(statistics.covariance[0]))
        self._left = np.ones(len(rows), bool)

    def costs(self) -> Array:
        """What taking away each channel costs now, [channels]; infinite for those that are gone."""
        found = np.full(len(self._rows), np.inf)
        left = np.flatnonzero(self._left)
        rows = self._rows[left]
        blocks = self._inverse[rows[:, :, None], rows[:, None, :]]
        solved = np.linalg.solve(blocks, self._weights[rows])
        found[left] = np.einsum("ckn,ckn->c", self._weights[rows], solved)
        return found

    def take(self, channels: Indices) -> float:
        """Takes channels away together; gives the loss that it costs."""
        rows = self._rows[channels].reshape(-1)
        block = self._inverse[np.ix_(rows, rows)]
        weights, across = self._weights[rows], self._inverse[:, rows]
        solved = np.linalg.solve(block, np.concatenate([weights, across.T], axis=1))
        loss = float(np.sum(weights * solved[:, : weights.shape[1]]))
        self._weights = self._weights - across @ solved[:, : weights.shape[1]]
        self._inverse = self._inverse - across @ solved[:, weights.shape[1] :]
        self._left[channels] = False
        return loss


class LooseReading:
    """As `Reading`, for a layer with too many inputs for one covariance: channels are taken as independent.

    Args:
      kernel: matrix [d, n] of the layer.
      statistics: of that kernel, layout "blocks": one covariance an input.
      places: [channels, n]: inputs that belong to each channel.
    """

    def __init__(self, kernel: Array, statistics: LayerStatistics, places: Indices) -> None:
        inputs, taps = statistics.mean.shape
        weights = _in_loss_units(kernel, statistics).reshape(taps, inputs, -1)
        each = np.einsum("kin,ikl,lin->i", weights, statistics.covariance, weights, optimize=True)
        self._costs = each[places].sum(axis=1)

    def costs(self) -> Array:
        """See `Reading.costs`."""
        return np.asarray(self._costs)

    def take(self, channels: Indices) -> float:
        """See `Reading.take`."""
        loss = float(self._costs[channels].sum())
        self._costs = self._costs.copy()
        self._costs[channels] = np.inf
        return loss


def curve(readings: Sequence[Reading | LooseReading], channels: int) -> Curve:
    """The order in which the channels of a group go, by what all of its readers lose.

    Example:
      >>> one = np.ones((1, 1, 1))
      >>> moments = LayerStatistics(mean=np.zeros((1, 3)), covariance=np.diag([1.0, 4.0, 0.0])[None], gradient=one,
      ...                           positions=2.0, samples=1)
      >>> found = curve([Reading(np.array([[2.0], [3.0], [9.0]]), moments, np.arange(3)[:, None])], 3)
      >>> found.order.tolist(), found.errors.round(0).tolist()
      ([2, 0], [0.0, 1.0, 5.0])
    """
    order: list[int] = []
    errors = [0.0]
    while len(order) < channels - 1:
        costs = np.sum([reading.costs() for reading in readings], axis=0)
        count = min(max(1, (channels - len(order)) // LARGE_STEP), channels - 1 - len(order))
        chosen = np.argsort(costs, kind="stable")[:count]
        loss = sum(reading.take(chosen) for reading in readings)
        # Within a step the loss is spread evenly: in truth the later ones cost more.
        errors += [errors[-1] + max(loss, 0.0) * (place + 1) / count for place in range(count)]
        order += chosen.tolist()
    return Curve(order=np.array(order, np.int64), errors=np.array(errors))


def ranked(importance: Array) -> Curve:
    """A curve from a measure of every channel that adds up, such as a share of the weights.

    Example:
      >>> ranked(np.array([0.5, 0.125, 0.25])).errors.tolist()
      [0.0, 0.125, 0.375]
    """
    order = np.argsort(importance, kind="stable")[:-1]
    return Curve(order=order, errors=np.concatenate([[0.0], np.cumsum(importance[order])]))


def paired(products: Array) -> Curve:
    """A curve from each sample's loss gradient by the channels' gains: E[v vᵀ] of v = Σ x · ∂L/∂x (Fisher information).

    Channels go greedily by ½ 1ᵀF1 over those that are gone (Kwon et al., 2022, "A fast post-training pruning framework
    for transformers", arXiv 2204.09656).

    Args:
      products: F [channels, channels], positive semi-definite.

    Example:
      >>> paired(np.diag([4.0, 2.0, 1.0])).errors.tolist()
      [0.0, 0.5, 1.5]
    """
    left = np.ones(len(products), bool)
    order: list[int] = []
    errors = [0.0]
    across = np.zeros(len(products))
    while len(order) < len(products) - 1:
        rise = np.where(left, 0.5 * np.diag(products) + across, np.inf)
        best = int(np.argmin(rise))
        order.append(best)
        errors.append(max(errors[-1], errors[-1] + float(rise[best])))
        left[best] = False
        across = across + products[best]
    return Curve(order=np.array(order, np.int64), errors=np.array(errors))


def without_inputs(weights: Array, covariance: Array, gone: Indices) -> Array:
    """Weights that make up for inputs that are gone as well as the others can tell: least squares.

    Args:
      weights: [d, n].
      covariance: of the inputs, [d, d].
      gone: inputs.

    Returns:
      float64 [d, n], zero in the rows `gone`.

    Example:
      >>> without_inputs(np.array([[1.0], [2.0]]), np.ones((2, 2)), np.array([1])).round(1).tolist()
      [[3.0], [0.0]]
    """
    old = np.asarray(weights, np.float64)
    stay = np.setdiff1d(np.arange(len(old)), gone)
    new = old.copy()
    new[gone] = 0.0
    among = _damped(covariance)[np.ix_(stay, stay)]
    new[stay] += np.linalg.solve(among, np.asarray(covariance, np.float64)[np.ix_(stay, gone)] @ old[gone])
    return new


def rows_of(places: Indices, inputs: int, taps: int) -> Indices:
    """Rows of a kernel matrix [taps · inputs, n] that belong to places along its input axis.

    Example:
      >>> rows_of(np.array([[0], [2]]), inputs=3, taps=2).tolist()
      [[0, 3], [2, 5]]
    """
    spread = places[:, None, :] + inputs * np.arange(taps)[None, :, None]
    return np.asarray(spread.reshape(len(places), -1))


def _in_loss_units(kernel: Array, statistics: LayerStatistics) -> Array:
    """Weights times the root of (T/2) G, so that tr(WᵀΣW) is loss."""
    root, _ = square_root(statistics.sensitivity[0], floor=GRADIENT_FLOOR)
    return np.asarray(np.asarray(kernel, np.float64) @ root * np.sqrt(statistics.positions / 2.0))


def _damped(covariance: Array) -> Array:
    """Σ + λI, λ = `DAMPING` of the mean variance."""
    variance = max(float(np.trace(covariance)) / len(covariance), float(np.finfo(np.float32).tiny))
    return np.asarray(covariance, np.float64) + DAMPING * variance * np.eye(len(covariance))
