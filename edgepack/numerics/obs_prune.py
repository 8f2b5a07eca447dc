"""Pruning by what a weight's absence costs the loss, the weights that stay making up for it.

The loss rises by about T/2 · E[g²] · w² / U_ii² when the weight w of input i is set to zero and the later weights of
its output repair what they can (`obs_sweep`; g is the loss's gradient by that output, T the output's positions). In
loss units the weights of all layers can be ranked together.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.numerics.obs_sweep import Curvature

Array: TypeAlias = npt.NDArray[Any]
Mask: TypeAlias = npt.NDArray[np.bool_]

REFIT_STEPS: Final = 30
"""Conjugate gradient steps for the weights that stay; each costs one product with Σ."""
SETTLED: Final = 1e-10
"""Where the squared residual has fallen to this share the weights have settled."""


def saliency(weights: Array, curvature: Curvature) -> Array:
    """What the loss rises by, roughly, when one weight [g, d, n] is cut: of the same shape, in loss units.

    Example:
      >>> from edgepack.numerics.obs_sweep import example
      >>> curvature = Curvature.of(example(np.eye(2)), damping=0.0)
      >>> saliency(np.array([[[1.0], [4.0]]]), curvature).ravel().tolist()
      [0.5, 8.0]
    """
    found: Array = 0.5 * curvature.positions * curvature.outputs[:, None] * curvature.cost(weights)
    return found


def prune(weights: Array, curvature: Curvature, mask: Mask) -> Array:
    """The weights with zeros outside the mask; the others repair the damage as well as they can.

    Never worse on tr(Δᵀ Σ Δ), output by output, than setting the weights to zero alone.

    Args:
      weights: [g, d, n].
      mask: [g, d, n], True where a weight stays.

    Returns:
      float64 [g, d, n]; exactly zero where the mask is False.

    Example:
      >>> from edgepack.numerics.obs_sweep import example
      >>> curvature = Curvature.of(example([[2.0, 1.0], [1.0, 1.0]]), damping=0.0)
      >>> prune(np.ones((1, 2, 1)), curvature, np.array([[[True], [False]]])).ravel().tolist()
      [1.5, 0.0]
    """
    weights = np.asarray(weights, np.float64)
    cut = np.where(mask, weights, 0.0)
    repaired = curvature.sweep(weights, lambda row, values: np.where(mask[:, row], values, 0.0))
    return _refit(weights, curvature.better(weights, repaired, cut), mask, curvature)


def repaired(weights: Array, curvature: Curvature, mask: Mask | None) -> tuple[Array, Mask]:
    """Weights with zeros outside the mask, if there is one, and the mask.

    Whatever else is done to the weights in the mask, it is as close to the originals as to these: the repaired weights
    are the least-squares ones, so both distances differ by a constant.
    """
    if mask is None:
        return weights, np.ones(weights.shape, np.bool_)
    cut = np.where(mask, weights, 0.0)
    return (cut if np.array_equal(cut, weights) else prune(weights, curvature, mask)), mask


def _refit(weights: Array, start: Array, mask: Mask, curvature: Curvature) -> Array:
    """Least squares of the weights in the mask, by conjugate gradients side by side (Hestenes and Stiefel, 1952)."""
    scale = 1.0 / np.diagonal(curvature.covariance, axis1=1, axis2=2)[..., None]
    found = start
    residual = np.where(mask, curvature.covariance @ (weights - found), 0.0)
    direction = scaled = scale * residual
    power = np.einsum("gdn,gdn->gn", residual, scaled)
    enough = SETTLED * power
    for _ in range(REFIT_STEPS):
        if (power <= enough).all():
            break
        bent = np.where(mask, curvature.covariance @ direction, 0.0)
        curved = np.einsum("gdn,gdn->gn", direction, bent)
        step = np.divide(power, curved, out=np.zeros_like(power), where=(curved > 0) & (power > enough))
        found = found + step[:, None] * direction
        residual = residual - step[:, None] * bent
        scaled = scale * residual
        before, power = power, np.einsum("gdn,gdn->gn", residual, scaled)
        ratio = np.divide(power, before, out=np.zeros_like(power), where=before > 0)
        direction = scaled + ratio[:, None] * direction
    return found
