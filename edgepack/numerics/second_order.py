"""The loss that a change of weights costs, to second order, from layer statistics (K-FAC).

With Σ the covariance of what the layer reads, G = E[g gᵀ] the covariance of its output gradient and T its output
positions, ΔL ≈ (T/2) tr(ΔᵀΣΔG) for a change Δ of the weights whose mean effect is made up for in the bias (Martens and
Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML 2015). Wherever a loss is told,
G stands for `LayerStatistics.sensitivity`, which knows how positions go together. All float64.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.numerics.layer_statistics import LayerStatistics

Array: TypeAlias = npt.NDArray[Any]

DAMPING = 1e-2
"""Default share of the mean variance that is added to every variance before a covariance is inverted."""
INPUT_FLOOR, GRADIENT_FLOOR = 1e-6, 1e-5
"""Shares of the largest eigenvalue below which eigenvalues of Σ and G are lifted, so that their roots invert."""


def square_root(matrix: Array, floor: float = INPUT_FLOOR) -> tuple[Array, Array]:
    """Symmetric square root S of a covariance, and S⁻¹.

    Args:
      matrix: [d, d], symmetric, positive semi-definite.
      floor: eigenvalues below this share of the largest are lifted to it.

    Returns:
      S, S⁻¹ [d, d]; identities where the matrix is zero.

    Example:
      >>> root, inverse = square_root(np.diag([4.0, 1.0]))
      >>> root.round(12).tolist(), inverse.round(12).tolist()
      ([[2.0, 0.0], [0.0, 1.0]], [[0.5, 0.0], [0.0, 1.0]])
    """
    values, vectors = np.linalg.eigh(np.asarray(matrix, np.float64))
    largest = float(values[-1])
    if largest <= 0.0:
        return np.eye(len(values)), np.eye(len(values))
    roots = np.sqrt(np.maximum(values, floor * largest))
    return (vectors * roots) @ vectors.T, (vectors / roots) @ vectors.T


def loss_increase(delta: Array, statistics: LayerStatistics) -> float:
    """(T/2) tr(ΔᵀΣΔG), summed over groups: the loss per sample that a change of the weights is expected to cost.

    Args:
      delta: change of the kernel, in Keras layout.

    Example:
      >>> one = np.ones((1, 1, 1))
      >>> moments = LayerStatistics(mean=one[0], covariance=2 * one, gradient=3 * one, positions=4.0, samples=1)
      >>> loss_increase(np.array([[0.5]]), moments)
      3.0
    """
    change = statistics.unfold(delta)
    energy = np.einsum(
        "gdn,gde,gem,gmn->", change, statistics.covariance, change, statistics.sensitivities, optimize=True
    )
    return 0.5 * statistics.positions * float(energy)


def corrected_bias(bias: Array, weights: Array, new_weights: Array, mean: Array) -> Array:
    """b + (W − Ŵ)ᵀμ: the bias with which a changed layer keeps its mean output.

    Args:
      bias: [g·n].
      weights, new_weights: [g, d, n] as `LayerStatistics.unfold` gives them, or [d, n].
      mean: [g, d] or [d].

    Returns:
      float64 [g·n]; for layout "blocks", whose groups share n outputs, [n].

    Example:
      >>> corrected_bias(np.zeros(1), np.array([[1.0], [2.0]]), np.array([[1.0], [0.0]]), np.array([5.0, 3.0]))
      array([6.])
    """
    lost = np.einsum("...dn,...d->...n", np.asarray(weights, np.float64) - new_weights, mean)
    bias = np.asarray(bias, np.float64)
    if lost.size != bias.size:
        lost = lost.reshape(-1, bias.size).sum(axis=0)
    corrected: Array = bias + lost.reshape(bias.shape)
    return corrected
