"""Changing weights one input at a time, the weights still to come making up for each change.

With the proxy loss tr(Δᵀ Σ Δ) of a layer y = Wᵀ x, Σ the covariance of x and Δ the change of W, the row i of W that
is set to something else leaves an error that the rows after it repair best by

    W[j] −= U[i, j] · (W[i] − chosen[i]) / U[i, i],   j > i,   Uᵀ U = Σ⁻¹, U upper triangular

(Hassibi and Stork, "Optimal brain surgeon", 1993; in one order for all outputs at once: Frantar et al., "GPTQ", ICLR
2023). `descend` then visits the rows again, each choice now knowing all the others, so that the proxy only falls.
All arrays have a leading axis of g groups, 1 for ordinary kernels; the channels of a depthwise kernel are its groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError
from edgepack.numerics.layer_statistics import LayerStatistics

Array: TypeAlias = npt.NDArray[Any]
Choose: TypeAlias = Callable[[int, Array], Array]
"""(row, the values that it should have [g, n]) → the values that it gets."""

BLOCK: Final = 64
"""Rows whose effect on the rows behind them is applied in one matrix product."""
DAMPING: Final = 0.01
"""Added to the diagonal of Σ, as a share of its mean: inputs that calibration never moved count a little."""
HARDER: Final = (0.0, 0.09, 0.9)
"""Further shares, added one after the other where a covariance is not positive definite."""
LEAST_VARIANCE: Final = 1e-30
"""Mean variance of a group's inputs below which single precision, in which it was summed, has no digits left."""
FLOOR: Final = 1e-4
"""Least E[g_c²] of an output, as a share of the mean: one that never mattered in calibration counts a little."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Curvature:
    """What the proxy loss of one kernel is made of.

    Attributes:
      covariance: [g, d, d] float64, damped: Σ + λ I.
      outputs: [g, n], κ_c E[g_c²]: how much the loss depends on each output; always above 0.
      positions: output positions that share the weights.
      shared: the groups share their outputs (`LayerStatistics.layout` "blocks").
      order: [d], the rows from most to least variance: what is decided late repairs least.
      factor: [g, d, d], U of the covariance in that order.
    """

    covariance: Array
    outputs: Array
    positions: float
    shared: bool
    order: Array
    factor: Array

    @classmethod
    def of(cls, statistics: LayerStatistics, damping: float = DAMPING) -> Curvature:
        """From the moments of a kernel; λ is `damping` of the mean variance of a group.

        Example:
          >>> curvature = Curvature.of(example(np.diag([1.0, 3.0])), damping=0.5)
          >>> curvature.covariance[0].tolist(), curvature.order.tolist(), curvature.factor[0].round(3).tolist()
          ([[2.0, 0.0], [0.0, 4.0]], [1, 0], [[0.5, 0.0], [0.0, 0.707]])
        """
        solid = np.array(statistics.covariance, np.float64)
        diagonal = np.arange(solid.shape[-1])
        mean = solid[:, diagonal, diagonal].mean(axis=1)
        # A group whose inputs never move has nothing to weigh by: every weight counts the same.
        solid[:, diagonal, diagonal] += np.where(mean > LEAST_VARIANCE, damping * mean, 1.0)[:, None]
        order = np.argsort(-solid[:, diagonal, diagonal].mean(axis=0), kind="stable")
        # With the order reversed, the inverse of the Cholesky factor is U reversed: Σ⁻¹ itself is not needed.
        backward = order[::-1]
        lower = _lower(solid, mean, backward)
        gradient = np.maximum(np.diagonal(statistics.sensitivities, axis1=1, axis2=2), 0.0)
        return cls(
            covariance=solid,
            outputs=np.maximum(gradient, FLOOR * gradient.mean()) if gradient.any() else gradient + 1.0,
            positions=statistics.positions,
            shared=statistics.layout == "blocks",
            order=order,
            factor=np.ascontiguousarray(_lower_inverse(lower)[:, ::-1, ::-1]),
        )

    def sweep(self, weights: Array, choose: Choose) -> Array:
        """Every row chosen once, its error handed to the rows that are still to come.

        Args:
          weights: [g, d, n], as they are.
          choose: what a row becomes.

        Example:
          >>> correlated = Curvature.of(example([[2.0, 1.0], [1.0, 1.0]]), damping=0.0)
          >>> cut_first = correlated.sweep(np.array([[[1.0], [1.0]]]), lambda row, v: v * (row != 0))
          >>> cut_first.ravel().tolist()  # the second weight takes over what it can: 1 + 1 / 1
          [0.0, 2.0]
        """
        rest = np.asarray(weights, np.float64)[:, self.order]
        chosen = np.empty_like(rest)
        diagonal = np.diagonal(self.factor, axis1=1, axis2=2)
        for start in range(0, len(self.order), BLOCK):
            stop = min(start + BLOCK, len(self.order))
            part = rest[:, start:stop]
            errors = np.empty_like(part)
            for row in range(start, stop):
                at = row - start
                chosen[:, row] = choose(int(self.order[row]), part[:, at])
                errors[:, at] = (part[:, at] - chosen[:, row]) / diagonal[:, row, None]
                part[:, at + 1 :] -= self.factor[:, row, row + 1 : stop, None] * errors[:, at, None]
            rest[:, stop:] -= self.factor[:, start:stop, stop:].transpose(0, 2, 1) @ errors
        found = np.empty_like(chosen)
        found[:, self.order] = chosen
        return found

    def descend(self, weights: Array, chosen: Array, choose: Choose) -> Array:
        """Every row chosen once more for what all the others are: exact minimization row by row.

        Args:
          weights: [g, d, n], as they were.
          chosen: [g, d, n], what has become of them.
          choose: must take the nearest of the allowed values, or the proxy may rise.

        Example:
          >>> correlated = Curvature.of(example([[2.0, 1.0], [1.0, 2.0]]), damping=0.0)
          >>> whole = lambda row, values: np.round(values)
          >>> correlated.descend(np.array([[[0.4], [0.4]]]), np.zeros((1, 2, 1)), whole).ravel().tolist()
          [1.0, 0.0]
        """
        found = np.array(chosen, np.float64)
        pull = self.covariance @ (weights - found)  # half the slope of the proxy, negated
        diagonal = np.diagonal(self.covariance, axis1=1, axis2=2)
        for start in range(0, len(self.order), BLOCK):
            rows = self.order[start : start + BLOCK]
            near, local = self.covariance[:, rows[:, None], rows], pull[:, rows]
            moved = np.empty_like(local)
            for at, row in enumerate(rows):
                value = choose(int(row), found[:, row] + local[:, at] / diagonal[:, row, None])
                moved[:, at] = value - found[:, row]
                found[:, row] = value
                local -= near[:, :, at, None] * moved[:, at, None]
            if moved.any():
                pull -= self.covariance[:, :, rows] @ moved
        return found

    def loss(self, change: Array) -> Array:
        """δᵀ Σ δ of the change of each output, [g, n].

        Example:
          >>> Curvature.of(example(np.eye(2)), damping=0.0).loss(np.array([[[1.0], [2.0]]])).tolist()
          [[5.0]]
        """
        found: Array = np.einsum("gdn,gdn->gn", change, self.covariance @ change)
        return found

    def better(self, weights: Array, one: Array, other: Array) -> Array:
        """Of two replacements of the weights the one that changes an output less, output by output."""
        worse = self.loss(weights - one) > self.loss(weights - other)
        return np.where(worse[:, None], other, one)

    def cost(self, weights: Array) -> Array:
        """What setting each weight alone to zero costs when the weights after it repair it: w² / U_ii², [g, d, n].

        Example:
          >>> Curvature.of(example(np.eye(2) * 4), damping=0.0).cost(np.array([[[1.0], [0.5]]])).ravel().tolist()
          [4.0, 1.0]
        """
        stiffness = np.empty(self.factor.shape[:2])
        stiffness[:, self.order] = np.diagonal(self.factor, axis1=1, axis2=2) ** -2.0
        found: Array = np.square(weights) * stiffness[..., None]
        return found


def example(covariance: Any, outputs: int = 1) -> LayerStatistics:
    """Moments of one group with the given Σ [d, d], mean 0 and G = I, such as examples need.

    Example:
      >>> example(np.eye(3), outputs=2).gradient.shape
      (1, 2, 2)
    """
    solid = np.asarray(covariance, np.float64)[None]
    return LayerStatistics(
        mean=np.zeros(solid.shape[:2]),
        covariance=solid,
        gradient=np.eye(outputs)[None],
        positions=1.0,
        samples=1,
    )


def _lower(solid: Array, mean: Array, order: Array) -> Array:
    """Cholesky factors of Σ + λ I in the given order; `solid` gains as much more λ as that takes.

    Few samples leave the covariance of many inputs singular, and single precision leaves it slightly negative. Where
    even ten times the damping is too little, what inputs have in common is not known, and their variances alone count.

    Raises:
      BadInputError: not finite.
    """
    if not np.isfinite(solid).all():
        raise BadInputError(
            "the covariance of a layer's inputs is not finite: its activations overflow on the calibration samples; "
            "expected inputs in the range that the model was trained on"
        )
    diagonal = np.arange(solid.shape[-1])
    for more in HARDER:
        solid[:, diagonal, diagonal] += more * np.maximum(mean, 0.0)[:, None]
        try:
            return np.linalg.cholesky(solid[:, order[:, None], order])
        except np.linalg.LinAlgError:
            continue
    variances = np.maximum(solid[:, diagonal, diagonal], np.maximum(mean, LEAST_VARIANCE)[:, None])
    solid[:] = 0.0
    solid[:, diagonal, diagonal] = variances
    return np.linalg.cholesky(solid[:, order[:, None], order])


def _lower_inverse(lower: Array) -> Array:
    """The inverse of lower triangular matrices [g, d, d], by halves: most of the work is matrix products."""
    size = lower.shape[-1]
    if size <= BLOCK:
        return np.linalg.solve(lower, np.broadcast_to(np.eye(size), lower.shape))
    half = size // 2
    inverse = np.zeros_like(lower)
    inverse[:, :half, :half] = upper_left = _lower_inverse(lower[:, :half, :half])
    inverse[:, half:, half:] = lower_right = _lower_inverse(lower[:, half:, half:])
    inverse[:, half:, :half] = -lower_right @ lower[:, half:, :half] @ upper_left
    return inverse
