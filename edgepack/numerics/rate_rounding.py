"""Weights rounded for what they weigh as well as for what they cost: error + price · bits, with error feedback.

A kernel whose codes are entropy-coded is best served by an even grid, coarse where the loss hardly notices, and by
rounding towards codes that are cheap: mostly zero. One price for a bit, in loss units, then decides for the whole
model how fine each kernel's grid is and how many of its weights become zero: pruning, clustering and the choice of bit
widths are cases of it (rate–distortion optimized quantization: Sullivan and Wiegand, 1998; Chou et al., 1989). The
error of a rounding is weighed by the layer statistics and handed to the weights that are still to come
(`obs_sweep`), so that it costs

    Σ (T/2) κ_c E[g_c²] (w̃ − q)² / U_ii²,   w̃ the weight with all errors before it made up for.

At high rates the best step is √(12 · price / (2 ln 2 · h)), h the mean of the factors before (w̃ − q)² (Gish and Pierce,
1968).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.numerics.entropy import BIAS_BYTES, SCALE_BYTES, code_lengths, coded_bytes
from edgepack.numerics.obs_sweep import Curvature

Array: TypeAlias = npt.NDArray[Any]
Per: TypeAlias = Literal["tensor", "channel"]

MOST: Final = 127
"""Largest code of an int8 weight in TFLite."""
SAMPLE: Final = 16_384
"""Weights that an estimate looks at, at most."""
EVENNESS: Final = 0.2
"""Share of an output's weight in the loss that is the mean of all: where a model is sure of itself, calibration hardly
shows what its quiet outputs are needed for (on the digits demo, without: 3 points lost at 17 KB; with: none)."""
FINER_AND_COARSER: Final = (0.8, 1.0, 1.3)
"""Steps that are tried, as multiples of the best one at high rates."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Grid:
    """The values that the weights of a kernel may take: multiples of a step that int8 can hold exactly.

    Attributes:
      step: [a, b] for weights [g, d, n]; a is g or 1, b is n or 1.
      most: largest multiple; it lies at code 127, the others at the nearest codes.
      lengths: [2 · most + 1], bits of each multiple from −most on.
    """

    step: Array
    most: int
    lengths: Array

    @property
    def units(self) -> Array:
        """The values of the multiples −most … most, in steps."""
        multiples = np.arange(-self.most, self.most + 1)
        units: Array = np.round(multiples * (MOST / self.most)) * (self.most / MOST)
        return units

    def values(self, multiples: Array) -> Array:
        """The weights of multiples [g, d, n]."""
        found: Array = self.units[multiples + self.most] * self.step[:, None]
        return found

    def choose(self, wanted: Array, stiffness: Array, price: float, step: Array) -> Array:
        """Multiples that minimize stiffness · (wanted − value)² + price · bits, among the two nearest, the next one
        towards zero and zero.

        Args:
          wanted, stiffness, step: of one shape, or broadcasting.
        """
        ratio = wanted / step
        below = np.floor(ratio)
        toward_zero = np.where(ratio >= 0, below - 1, below + 2)
        units, best, least = self.units, None, None
        weight = stiffness * np.square(step)
        for candidate in (below, below + 1, toward_zero, np.zeros_like(below)):
            index = np.clip(candidate, -self.most, self.most).astype(np.int64) + self.most
            cost = weight * np.square(ratio - units[index]) + price * self.lengths[index]
            if best is None or least is None:
                best, least = index, cost
            else:
                better = cost < least
                best, least = np.where(better, index, best), np.where(better, cost, least)
        assert best is not None
        return best - self.most


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a kernel is expected to cost at a price.

    Attributes:
      error: rise of the loss.
      delivered_bytes: of codes, scales and biases, compressed.
      zeros: share of the weights.
      distinct: number of different codes.
    """

    error: float
    delivered_bytes: float
    zeros: float
    distinct: int


def stiffness(curvature: Curvature) -> Array:
    """What the loss rises by for (w̃ − q)² = 1 in each weight, [g, d, n]: (T/2) κ_c E[g_c²] / U_ii².

    E[g_c²] is evened out a little, see `EVENNESS`.
    """
    gradient = (1.0 - EVENNESS) * curvature.outputs + EVENNESS * curvature.outputs.mean()
    found = np.empty(curvature.factor.shape[:2])
    found[:, curvature.order] = np.diagonal(curvature.factor, axis1=1, axis2=2) ** -2.0
    outputs = np.broadcast_to(gradient, (len(found), gradient.shape[-1]))
    stiff: Array = 0.5 * curvature.positions * found[:, :, None] * outputs[:, None, :]
    return stiff


def grid(weights: Array, stiff: Array, price: float, per: Per) -> tuple[Grid, Array]:
    """The grid for a price, and the multiples that the weights would take without feedback.

    Args:
      weights, stiff: [g, d, n].
      price: loss of a bit, > 0.
      per: one step for the kernel ("tensor") or one for each output channel.

    Returns:
      Grid, multiples [g, d, n].

    Example:
      >>> rng = np.random.default_rng(0)
      >>> found, multiples = grid(rng.normal(size=(1, 32, 8)), np.ones((1, 32, 8)), 0.1, "tensor")
      >>> bool((found.values(multiples)[multiples == 0] == 0).all()), found.most < 5
      (True, True)
    """
    best: tuple[float, Grid, Array] | None = None
    for factor in FINER_AND_COARSER:
        found, multiples = _fitted(weights, stiff, price, _steps(weights, stiff, price, per) * factor)
        error = float((stiff * np.square(weights - found.values(multiples))).sum())
        bits = float(found.lengths[multiples + found.most].sum())
        if best is None or error + price * bits < best[0]:
            best = (error + price * bits, found, multiples)
    assert best is not None
    return best[1], best[2]


def estimate(weights: Array, stiff: Array, price: float, per: Per) -> Estimate:
    """What `rounded` will cost, told from the weights alone: no feedback is run.

    In the sweep each weight is rounded where the errors before it have moved it, which leaves its distribution much as
    it was; so independent rounding with the same factors estimates the error of the compensated one.
    """
    outputs = weights.shape[0] * weights.shape[2]
    share = 1.0
    if weights.size > SAMPLE:  # whole columns: a channel's scale is that of all its weights
        keep = max(1, SAMPLE * weights.shape[2] // weights.size)
        columns = np.linspace(0, weights.shape[2] - 1, keep).astype(np.int64)
        share = len(columns) / weights.shape[2]
        weights, stiff = weights[:, :, columns], stiff[:, :, columns]
    found, multiples = grid(weights, stiff, price, per)
    counts = np.bincount((multiples + found.most).ravel())
    error = float((stiff * np.square(weights - found.values(multiples))).sum())
    scales = 2 * outputs if per == "channel" else 2
    return Estimate(
        error=error / share,
        delivered_bytes=coded_bytes(np.rint(counts / share)) + SCALE_BYTES * scales + BIAS_BYTES * outputs,
        zeros=float((multiples == 0).mean()),
        distinct=int(np.count_nonzero(counts)),
    )


def rounded(weights: Array, curvature: Curvature, price: float, per: Per) -> Array:
    """The weights on the grid for a price, errors fed back: values that an int8 conversion keeps exactly.

    Args:
      weights: [g, d, n].
      curvature: of the layer's statistics.
      price: loss of a bit, > 0.
      per: how the conversion scales the kernel.

    Returns:
      float64 [g, d, n].

    Example:
      >>> from edgepack.numerics.obs_sweep import example
      >>> weights = np.random.default_rng(0).normal(size=(1, 16, 4))
      >>> coarse = rounded(weights, Curvature.of(example(np.eye(16), 4)), 0.05, "tensor")
      >>> codes = coarse / (np.abs(coarse).max() / 127)
      >>> bool(np.allclose(codes, codes.round())), len(np.unique(codes)) < 20
      (True, True)
    """
    stiff = stiffness(curvature)
    stiff = np.broadcast_to(stiff, weights.shape)
    found, multiples = grid(weights, stiff, price, per)
    pinned = _largest(multiples, found)
    step = np.broadcast_to(found.step, (weights.shape[0], weights.shape[2]))

    def choose(row: int, wanted: Array) -> Array:
        chosen = found.choose(wanted, stiff[:, row], price, step)
        chosen = np.where(pinned[:, row], np.where(wanted < 0, -found.most, found.most), chosen)
        values: Array = found.units[chosen + found.most] * step
        return values

    return curvature.sweep(weights, choose)


def _steps(weights: Array, stiff: Array, price: float, per: Per) -> Array:
    """The best steps at high rates, [1, 1] or [g, n]; coarse enough for int8."""
    largest = np.abs(weights).max(axis=1)
    largest = np.where(largest > 0, largest, 1.0)
    if per == "tensor":
        mean = max(float(stiff.mean()), 1e-300)
        step = float(np.sqrt(6.0 * price / (np.log(2.0) * mean)))
        most = float(largest.max())
        return np.array([[min(max(step, most / MOST), most)]])
    mean = np.maximum(stiff.mean(axis=1), 1e-300)
    steps = np.sqrt(6.0 * price / (np.log(2.0) * mean))
    # As many steps in every channel: codes that mean different multiples in each would be many different codes.
    count = np.clip(np.rint(np.exp(np.log(largest / steps).mean())), 1, MOST)
    even: Array = largest / count
    return even


def _fitted(weights: Array, stiff: Array, price: float, step: Array) -> tuple[Grid, Array]:
    """A grid of this step, its code lengths fitted to the multiples that they lead to."""
    spread = step[:, None]
    multiples = np.rint(weights / spread).astype(np.int64)
    most = int(np.clip(np.abs(multiples).max(), 1, MOST))
    step = np.maximum(step, np.abs(weights).max() / MOST) if step.size == 1 else step
    found = Grid(step=step, most=most, lengths=np.zeros(2 * most + 1))
    multiples = np.clip(multiples, -most, most)
    for _ in range(2):
        lengths = code_lengths(np.bincount((multiples + most).ravel(), minlength=2 * most + 1))
        found = Grid(step=step, most=most, lengths=lengths)
        multiples = found.choose(weights, stiff, price, spread)
    return found, multiples


def _largest(multiples: Array, found: Grid) -> Array:
    """Where the largest multiple of each scale stands: it keeps the converter's scale where the grid has it."""
    size = np.abs(multiples)
    pinned = np.zeros(multiples.shape, bool)
    if found.step.size == 1:
        pinned.reshape(-1)[int(np.argmax(size))] = True
    else:
        np.put_along_axis(pinned, size.argmax(axis=1)[:, None], True, axis=1)
    return pinned
