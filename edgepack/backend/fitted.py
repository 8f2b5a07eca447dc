"""Weights that give what a layer gave in the original from what it reads now: least squares, held to what they were.

Asymmetric reconstruction: Zhang et al. (2015), "Accelerating very deep convolutional networks", section 3.3.
"""

from __future__ import annotations

import dataclasses
from typing import Final

import numpy as np

from edgepack.numerics.layer_statistics import LayerStatistics

RIDGE: Final = 0.02
"""How much the refit is held to the weights as they were, as a share of the mean variance."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fitted:
    """The weights [g, d, n] to be rounded, the moments of what they read now, and the mean output to be kept."""

    weights: np.ndarray
    statistics: LayerStatistics
    mean_output: np.ndarray

    @classmethod
    def of(cls, seen: LayerStatistics, kernel: np.ndarray) -> Fitted:
        """The weights as they are."""
        weights = seen.unfold(kernel)
        return cls(weights=weights, statistics=seen, mean_output=np.einsum("gdn,gd->gn", weights, seen.mean))

    @classmethod
    def to(
        cls,
        seen: LayerStatistics,
        kernel: np.ndarray,
        before: np.ndarray,
        now: np.ndarray,
        start: np.ndarray | None = None,
    ) -> Fitted:
        """Least squares of the original's outputs on the inputs as they are now.

        Args:
          before, now: [g, patches, d], the same positions in the original and in the changing model.
          start: [g, d, n], what the weights are held to; by default the kernel's own.
        """
        weights = seen.unfold(kernel)
        start = weights if start is None else start
        count, inputs = now.shape[1], now.shape[2]
        mean_before, mean = before.mean(axis=1, dtype=np.float64), now.mean(axis=1, dtype=np.float64)
        centred = now - mean[:, None].astype(np.float32)
        # Few patches say little about many inputs: the statistics of all samples stand beside them.
        trust = 1.0 / (1.0 + 2.0 * inputs / count)
        measured = (centred.transpose(0, 2, 1) @ centred).astype(np.float64) / count
        covariance = trust * measured + (1.0 - trust) * seen.covariance
        mean_output = np.einsum("gdn,gd->gn", weights, mean_before)
        moved = dataclasses.replace(seen, mean=mean, covariance=covariance)
        if seen.layout == "blocks" or before is now or np.array_equal(before, now):
            return cls(weights=start, statistics=moved, mean_output=mean_output)
        wanted = (before - mean_before[:, None].astype(np.float32)) @ weights.astype(np.float32)
        missing = centred.transpose(0, 2, 1) @ (wanted - centred @ start.astype(np.float32)) / count
        solid = covariance.copy()
        diagonal = np.arange(inputs)
        variance = solid[:, diagonal, diagonal].mean(axis=1, keepdims=True)
        solid[:, diagonal, diagonal] += RIDGE * variance + 1e-12
        refitted = start + trust * np.linalg.solve(solid, missing.astype(np.float64))
        return cls(weights=refitted, statistics=moved, mean_output=mean_output)

    def bias(self, bias: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """The bias with which the mean output stays what it was."""
        lost = self.mean_output - np.einsum("gdn,gd->gn", chosen, self.statistics.mean)
        corrected: np.ndarray = bias.astype(np.float64) + lost.reshape(-1, bias.size).sum(axis=0)
        return corrected
