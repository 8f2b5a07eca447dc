"""Factors that bring the channels between two layers to like ranges, the function unchanged.

Where y = f(W₁ x + b₁), z = W₂ y and f(s·v) = s·f(v) for s > 0 (linear, ReLU), channel i of y may be divided by any
sᵢ > 0 as long as W₂ takes it back: W₁[i] / sᵢ, b₁[i] / sᵢ, W₂[·, i] · sᵢ. What is gained is that one scale then serves
all channels of y, or of a kernel, equally well.

Source: Nagel et al. (2019), "Data-free quantization through weight equalization and bias correction", section 4.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
LIMIT = 2.0**14
"""Largest factor, and inverse of the smallest: beyond it float32 itself would suffer."""


def balanced(first: Array, second: Array) -> Array:
    """Factors that make both sides' ranges equal in each channel: sᵢ = √(first ᵢ / secondᵢ).

    Args:
      first: what is divided, ≥ 0 [channels]: the ranges of W₁'s output channels (one scale per kernel), or of the
        activations (one scale per output channel).
      second: what is multiplied, ≥ 0 [channels]: the ranges of W₂'s input channels.

    Returns:
      Factors > 0, float64 [channels]; 1 for channels that are silent on one side.

    Example:
      >>> balanced(np.array([4.0, 1.0, 0.0]), np.array([1.0, 4.0, 1.0])).tolist()
      [2.0, 0.5, 1.0]
    """
    upper, lower = np.asarray(first, np.float64), np.asarray(second, np.float64)
    speaks = (upper > 0.0) & (lower > 0.0)
    ratio = np.where(speaks, upper, 1.0) / np.where(speaks, lower, 1.0)
    factors: Array = np.clip(np.sqrt(ratio), 1.0 / LIMIT, LIMIT)
    return factors


def levelled(first: Array) -> Array:
    """Factors that make one side's ranges all alike, where the other side does not care (depthwise kernels with one
    scale per channel).

    Args:
      first: ranges, ≥ 0 [channels].

    Returns:
      Factors > 0, float64 [channels], with the geometric mean 1; 1 for silent channels.

    Example:
      >>> levelled(np.array([8.0, 2.0, 0.0])).tolist()
      [2.0, 0.5, 1.0]
    """
    reach = np.asarray(first, np.float64)
    speaks = reach > 0.0
    if not speaks.any():
        return np.ones(len(reach))
    mean = np.exp(np.log(reach[speaks]).mean())
    factors: Array = np.clip(np.where(speaks, reach, mean) / mean, 1.0 / LIMIT, LIMIT)
    return factors


def below_ceiling(factors: Array, reach: Array, ceiling: float) -> Array:
    """Factors that keep an activation with a ceiling (ReLU6) unchanged.

    A channel that reaches the ceiling is clipped there, which no factor commutes with: it keeps 1. Any other may be
    stretched as far as the ceiling.

    Args:
      factors: wanted, > 0 [channels].
      reach: largest value of each channel, after the activation.
      ceiling: of the activation.

    Example:
      >>> below_ceiling(np.array([0.1, 0.1, 2.0]), np.array([6.0, 3.0, 1.0]), 6.0).tolist()
      [1.0, 0.5, 2.0]
    """
    clipped = np.asarray(reach) >= ceiling * (1.0 - 1e-6)
    least = np.asarray(reach, np.float64) / ceiling
    return np.where(clipped, 1.0, np.maximum(factors, least))
