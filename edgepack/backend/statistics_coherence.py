"""How much a change of a kernel costs because what it does at one position it does at others too.

The Fisher information of a kernel is the covariance of its whole gradient M = Σ_t x̃_t g_tᵀ of one sample, x̃ = x − μ; the
layer statistics take its terms as independent. κ is by how much that is wrong, for changes as they are left by methods
that know Σ, whose errors are as large in every direction of the whitened input:

    κ = E[tr(Mᵀ Σ⁻¹ M)] / E[Σ_t |g_t|² tr(Σ⁻¹ Σ)]

Both are taken over the same samples and the same drawn labels, so that it hardly matters how large gradients happened
to be. tr(Mᵀ Σ⁻¹ M) is estimated by |U M v|² with Σ⁻¹ = UᵀU and v of random signs (Hutchinson, 1989).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.obs_sweep import Curvature

Array: TypeAlias = npt.NDArray[Any]
SIGNS: Final = 4
"""Vectors v for every gradient."""
LEAST, MOST = 0.1, 100.0
"""κ is held between these: outside, a few samples decided."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A kernel of a live model.

    Attributes:
      variable: its values.
      outputs: of all calls of its layer.
      groups: of outputs that have a gradient moment of their own.
    """

    variable: Any
    outputs: Sequence[Any]
    groups: int


@dataclass(kw_only=True)
class Coherence:
    """Gathers κ of one kernel, sample by sample.

    Args:
      statistics: of the kernel.
      seed: of the random signs.
    """

    statistics: LayerStatistics
    seed: int
    _drawn: list[Array] = field(default_factory=list)
    _energy: Array | float = 0.0

    @property
    def groups(self) -> int:
        """Of outputs that have a gradient moment of their own."""
        return len(self.statistics.gradient)

    def add(self, kernel: Array, output: Array, energy: Array) -> None:
        """Adds one sample.

        Args:
          kernel: gradient of the kernel, in Keras layout.
          output: gradient of the layer's output summed over positions, [channels].
          energy: the same squared and summed over the outputs of a group and over positions, [groups], or [1] for layout
            "blocks".
        """
        mean = self.statistics.mean
        of_groups = output.reshape(-1, self.statistics.gradient.shape[-1])  # [groups or 1, n]
        gradient = self.statistics.unfold(kernel) - mean[:, :, None] * of_groups[:, None, :]
        random = np.random.default_rng([self.seed, len(self._drawn)])
        signs = random.integers(0, 2, (gradient.shape[-1], SIGNS)) * 2.0 - 1.0
        self._drawn.append((gradient @ signs).astype(np.float32))  # [g, d, SIGNS]
        self._energy = self._energy + np.asarray(energy, np.float64)

    def value(self) -> float:
        """κ; 1 where there is nothing to tell it from."""
        curvature = Curvature.of(self.statistics)
        order, factor = curvature.order, curvature.factor
        drawn = np.concatenate(self._drawn, axis=-1)[:, order]
        together = float(np.square(factor @ drawn).sum()) / SIGNS
        ordered = self.statistics.covariance[:, order[:, None], order]
        whitened = np.einsum("gij,gij->g", factor @ ordered, factor)  # tr(U Σ Uᵀ), d where nothing was damped
        apart = float((whitened * self._energy).sum())
        if not (np.isfinite(together) and together > 0.0 and np.isfinite(apart) and apart > 0.0):
            return 1.0
        return float(np.clip(together / apart, LEAST, MOST))


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
        if kernel is None or any(output is None for output in outputs):
            kernel, outputs = tf.zeros_like(each.variable), [tf.zeros_like(one) for one in each.outputs]
        rows = tf.concat([tf.reshape(one, [-1, one.shape[-1]]) for one in outputs], axis=0)
        squares = tf.reshape(tf.square(rows), [-1, each.groups, rows.shape[-1] // each.groups])
        found.append((kernel, tf.reduce_sum(rows, axis=0), tf.reduce_sum(squares, axis=[0, 2])))
    return found
