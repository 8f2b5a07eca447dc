"""How much a change of a kernel costs because what it does at one position it does at others too.

The Fisher information of a kernel is the covariance of its whole gradient M = Σ_t x̃_t g_tᵀ of one sample, x̃ = x − μ; the
layer statistics take its terms as independent. κ_c is by how much that is wrong for output c, for changes as methods
that know Σ leave them, whose errors are as large in every direction of the whitened input:

    κ_c = E[M_cᵀ Σ⁻¹ M_c] / E[Σ_t g_tc² tr(Σ⁻¹ Σ)]

Both are taken over the same samples and the same drawn labels, so that it hardly matters how large gradients happened
to be. M_cᵀ Σ⁻¹ M_c = |U M_c|² with Σ⁻¹ = UᵀU; of many inputs a random projection of U tells it (Johnson and
Lindenstrauss, 1984; random signs: Achlioptas, 2003).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.obs_sweep import Curvature

Array: TypeAlias = npt.NDArray[Any]
PROJECTED: Final = 64
"""Rows that stand for more rows of U."""
EVENED: Final = 0.25
"""How much of the mean output counts for every output: rare gradients come from few samples."""
LEAST, MOST = 0.1, 100.0
"""κ is held between these: outside, a few samples decided."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel of a live model.

    Attributes:
      variable: its values.
      outputs: of all calls of its layer.
    """

    variable: Any
    outputs: Sequence[Any]


class Coherence:
    """Gathers κ of one kernel, sample by sample.

    Args:
      statistics: of the kernel.
      seed: of the random projection.
    """

    def __init__(self, statistics: LayerStatistics, seed: int) -> None:
        self.statistics = statistics
        curvature = Curvature.of(statistics)
        ordered = statistics.covariance[:, curvature.order[:, None], curvature.order]
        factor = curvature.factor
        # tr(U Σ Uᵀ): d where nothing was damped
        self._inputs = np.einsum("gij,gij->g", factor @ ordered, factor)
        if factor.shape[-1] > PROJECTED:
            signs = np.random.default_rng(seed).integers(0, 2, (PROJECTED, factor.shape[-1])) * 2.0 - 1.0
            factor = (signs / np.sqrt(PROJECTED)) @ factor
        self._order, self._factor = curvature.order, factor
        self._together = self._apart = np.zeros(statistics.gradient.shape[:2])

    def add(self, kernel: Array, output: Array, energy: Array) -> None:
        """Adds one sample.

        Args:
          kernel: gradient of the kernel, in Keras layout.
          output: gradient of the layer's output summed over positions, [channels].
          energy: the same squared and summed over positions, [channels].
        """
        groups, outputs = self._together.shape
        moved = self.statistics.mean[:, :, None] * output.reshape(groups, 1, outputs)
        gradient = self.statistics.unfold(kernel) - moved
        whitened = np.square(self._factor @ gradient[:, self._order]).sum(axis=1)  # [g, n]
        apart = self._inputs[:, None] * energy.reshape(groups, outputs)
        shared = len(whitened) > groups  # layout "blocks": all groups add to the same outputs
        self._together = self._together + (whitened.sum(axis=0) if shared else whitened)
        self._apart = self._apart + (apart.sum(axis=0) if shared else apart)

    def value(self) -> Array:
        """κ [g, n], or [1, n] for layout "blocks"; ones where there is nothing to tell it from."""
        together, apart = self._together, self._apart
        if not (np.isfinite(together).all() and np.isfinite(apart).all() and together.any() and apart.any()):
            return np.ones_like(together)
        more = EVENED * np.array([together.mean(), apart.mean()])
        found: Array = np.clip((together + more[0]) / (apart + more[1]), LEAST, MOST)
        return found


def gradients(tape: Any, pulled: Any, kernels: Sequence[Kernel]) -> list[tuple[Any, Any, Any]]:
    """For each kernel what `Coherence.add` takes, of a batch of one sample; in the graph.

    Args:
      tape: watches the kernels.
      pulled: what is differentiated.
    """
    import tensorflow as tf

    sources = [[each.variable, list(each.outputs)] for each in kernels]
    found = []
    for each, (kernel, outputs) in zip(kernels, tape.gradient(pulled, sources), strict=True):
        kernel = tf.zeros_like(each.variable) if kernel is None else kernel  # no call of it is reached
        outputs = [
            tf.zeros_like(value) if gradient is None else gradient
            for value, gradient in zip(each.outputs, outputs, strict=True)
        ]
        rows = tf.concat([tf.reshape(one, [-1, one.shape[-1]]) for one in outputs], axis=0)
        found.append((kernel, tf.reduce_sum(rows, axis=0), tf.reduce_sum(tf.square(rows), axis=0)))
    return found
