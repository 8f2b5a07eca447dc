"""Rounding weights to few bits so that the outputs, not the weights, change least (GPTQ; Frantar et al., ICLR 2023).

A b-bit grid has the levels −Q … Q, Q = 2^(b−1) − 1, of a scale that cuts the largest weights where that lowers the
error. The rounded weights live in int8: level k has the code round(127 · k / Q), and the largest weight of each
channel is held at ±Q, so that a converter derives the scale again, max |w| / 127, and its codes are the ones chosen
here. Fewer levels are fewer bytes once the file is compressed, on the same kernels at the same speed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError
from edgepack.numerics.obs_cluster import Per, table_shape
from edgepack.numerics.obs_prune import repaired
from edgepack.numerics.obs_sweep import Choose, Curvature
from edgepack.numerics.obs_tables import GRID, scales

Array: TypeAlias = npt.NDArray[Any]
Mask: TypeAlias = npt.NDArray[np.bool_]

CUTS: Final = np.linspace(0.4, 1.0, 31)
"""Scales to try, as shares of the one that cuts nothing."""
ROUNDS: Final = 3
"""How often scales and codes are improved in turn, at most."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Rounded:
    """A kernel on a grid.

    Attributes:
      codes: int8 [g, d, n], as they will be in the file.
      scales: float64 [a, 1, b], a and b as in `Tables`.
    """

    codes: npt.NDArray[np.int8]
    scales: Array

    @property
    def weights(self) -> Array:
        """float64 [g, d, n]."""
        found: Array = self.codes * self.scales
        return found


def round_to_grid(
    weights: Array, curvature: Curvature, bits: int, *, per: Per = "channel", kept: Mask | None = None
) -> Rounded:
    """The weights on a grid of 2^bits − 1 levels, the outputs changing as little as can be.

    Never worse on the proxy, summed over the outputs as the loss depends on them, than `plain`.

    Args:
      weights: [g, d, n].
      bits: 2 … 8.
      per: a scale for each output channel, or for the whole kernel.
      kept: [g, d, n], False where a weight shall be zero; None for nowhere.

    Raises:
      BadInputError: bits out of range, or weights that are not finite.

    Example:
      >>> from edgepack.numerics.obs_sweep import example
      >>> curvature = Curvature.of(example(np.eye(3)), damping=0.0)
      >>> found = round_to_grid(np.array([[[0.7], [0.31], [-0.12]]]), curvature, 4)
      >>> found.codes.ravel().tolist(), found.scales.shape
      ([127, 54, -18], (1, 1, 1))
    """
    weights, kept = _checked(weights, curvature, bits, kept)
    grid = _Grid.of(weights, kept, bits, table_shape(curvature, per))
    scale = grid.first_scale(weights, curvature)
    nearest = grid.nearest(weights, scale)
    chosen = curvature.better(weights, curvature.sweep(weights, grid.chooser(scale)), nearest)
    chosen = curvature.descend(weights, chosen, grid.chooser(scale))
    best, loss = (chosen, scale), _total(weights - chosen, curvature)
    for _ in range(ROUNDS):
        scale = grid.refitted(weights, chosen, scale, curvature)
        chosen = curvature.descend(weights, chosen / best[1] * scale, grid.chooser(scale))
        if not (found := _total(weights - chosen, curvature)) < loss:
            break
        best, loss = (chosen, scale), found
    chosen, scale = best
    return Rounded(codes=np.rint(chosen / scale).astype(np.int8), scales=scale)


def plain(
    weights: Array, curvature: Curvature, bits: int, *, per: Per = "channel", kept: Mask | None = None
) -> Rounded:
    """Every weight at the nearest level of the same first scales: what `round_to_grid` starts from, see there."""
    weights, kept = _checked(weights, curvature, bits, kept)
    grid = _Grid.of(weights, kept, bits, table_shape(curvature, per))
    scale = grid.first_scale(weights, curvature)
    return Rounded(codes=np.rint(grid.nearest(weights, scale) / scale).astype(np.int8), scales=scale)


def _checked(weights: Array, curvature: Curvature, bits: int, kept: Mask | None) -> tuple[Array, Mask]:
    if not 2 <= bits <= 8:
        raise BadInputError(f"bits = {bits}: expected 2 to 8")
    weights = np.asarray(weights, np.float64)
    if not np.isfinite(weights).all():
        raise BadInputError("a kernel with NaN or infinite weights cannot be rounded; mend the model first")
    return repaired(weights, curvature, kept)


def _total(change: Array, curvature: Curvature) -> float:
    return float((curvature.loss(change) * curvature.outputs).sum())


@dataclass(frozen=True, eq=False, kw_only=True)
class _Grid:
    """Levels, and the weights that are held: zeros at 0, the largest of each scale at ±Q.

    Attributes:
      highest: Q.
      codes: [2 Q + 1], the int8 code of each level.
      kept: [g, d, n], False where a weight stays zero.
      pinned: [g, d, n], −1 or 1 where a weight is held at the end of the grid, else 0.
      shape: [a, b] of the scales.
    """

    highest: int
    codes: Array
    kept: Mask
    pinned: Array
    shape: tuple[int, int]

    @classmethod
    def of(cls, weights: Array, kept: Mask, bits: int, shape: tuple[int, int]) -> _Grid:
        highest = 2 ** (bits - 1) - 1
        codes = np.rint(np.arange(-highest, highest + 1) * GRID / highest)
        axes = (1, *(axis for axis, size in ((0, shape[0]), (2, shape[1])) if size == 1))
        return cls(highest=highest, codes=codes, kept=kept, pinned=_first_largest(weights, axes), shape=shape)

    def nearest(self, wanted: Array, scale: Array) -> Array:
        """Values of the grid for `wanted` [g, d, n]."""
        return self._held(wanted, scale, self.kept, self.pinned)

    def chooser(self, scale: Array) -> Choose:
        return lambda row, values: self._held(values, scale[:, 0], self.kept[:, row], self.pinned[:, row])

    def _held(self, wanted: Array, scale: Array, kept: Mask, pinned: Array) -> Array:
        level = np.rint(wanted / scale * (self.highest / GRID)).astype(np.int64)
        code = self.codes[np.clip(level, -self.highest, self.highest) + self.highest]
        found: Array = np.where(pinned != 0, pinned * GRID, np.where(kept, code, 0.0)) * scale
        return found

    def first_scale(self, weights: Array, curvature: Curvature) -> Array:
        """The scales [a, 1, b] of least squared error, each weight counting as the loss depends on it."""
        whole = scales(weights, self.shape)[:, None]
        diagonal = np.diagonal(curvature.covariance, axis1=1, axis2=2)
        matters = diagonal[..., None] * curvature.outputs[:, None]
        best, least = whole, np.full(whole.shape, np.inf)
        for cut in CUTS:
            error = self._by_scale(matters * np.square(self.nearest(weights, whole * cut) - weights))
            best, least = np.where(error <= least, whole * cut, best), np.minimum(error, least)
        return best

    def refitted(self, weights: Array, chosen: Array, scale: Array, curvature: Curvature) -> Array:
        """The scales of least proxy loss for the codes chosen."""
        codes = chosen / scale
        bent = curvature.outputs[:, None] * (curvature.covariance @ codes)
        length, overlap = self._by_scale(codes * bent), self._by_scale(weights * bent)
        fitting = np.divide(overlap, length, out=scale.copy(), where=length > 0)
        return np.where(fitting > 0, fitting, scale)

    def _by_scale(self, values: Array) -> Array:
        total: Array = values.sum(axis=1, keepdims=True)
        for axis, size in ((0, self.shape[0]), (2, self.shape[1])):
            total = total.sum(axis=axis, keepdims=True) if size == 1 else total
        return total


def _first_largest(weights: Array, axes: tuple[int, ...]) -> Array:
    """The sign of the first weight of largest magnitude along `axes`, 0 for all others and where all are 0."""
    rest = tuple(axis for axis in range(3) if axis not in axes)
    moved = np.transpose(np.abs(weights), (*rest, *axes))
    flat = moved.reshape(*moved.shape[: len(rest)], -1)
    first = np.zeros(flat.shape, np.int8)
    np.put_along_axis(first, flat.argmax(axis=-1)[..., None], 1, axis=-1)
    found: Array = np.transpose(first.reshape(moved.shape), np.argsort((*rest, *axes))) * np.sign(weights)
    return found
