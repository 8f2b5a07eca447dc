"""The spatial low-rank forms under the whole covariance, refined by alternation from where `kfac` starts them.

The second factor comes by least squares, the first by conjugate gradients. How much a form gains by it differs from layer
to layer by a factor of two, so ranks are chosen by what `refined` will leave (`refined_errors`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.numerics import factorize
from edgepack.numerics.forms import Form
from edgepack.numerics.kfac import LowRank
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.second_order import GRADIENT_FLOOR, INPUT_FLOOR, loss_increase

Array: TypeAlias = npt.NDArray[Any]
SWEEPS: Final = 8
STEPS: Final = 15
"""Conjugate gradient steps for the first factor in one sweep."""
PROBED: Final = (0.1, 0.25, 0.5, 0.75)
"""Ranks, as shares of all, at which is looked what refining gains; in between it is interpolated."""
PROBED_SWEEPS: Final = 3
MOST_WEIGHTS: Final = 100_000
"""Of kernels for which that is looked at: others take seconds a rank."""


def refined(
    form: Form,
    kernel: Array,
    factors: tuple[Array, Array],
    statistics: LayerStatistics,
    *,
    sweeps: int = SWEEPS,
) -> tuple[Array, Array]:
    """Factors of the same shapes that cost less loss, or no more.

    Channel-like forms come back as they are: `low_rank` gives their best.

    Args:
      kernel: what the factors stand for.
      factors: a start, such as `LowRank.factors`.
      sweeps: alternations; the second factor has the last word, by exact least squares.
    """
    if form == "across":
        turned, moved = _turned(kernel, statistics)
        first, second = (part.swapaxes(0, 1) for part in factors)
        first, second = refined("spatial", turned, (first, second), moved, sweeps=sweeps)
        return first.swapaxes(0, 1), second.swapaxes(0, 1)
    if form != "spatial":
        return factors
    metric = _Metric.of(kernel, statistics)
    first, second = factors[0][:, 0], factors[1][0]
    best = metric.cost(first, second), first, second
    for sweep in range(sweeps):
        if sweep:
            first = metric.reduce(first, second)
        second = metric.expand(first)
        if (cost := metric.cost(first, second)) < best[0]:
            best = cost, first, second
    first, second = _balanced(*best[1:])
    return first[:, None], second[None]


def refined_errors(family: LowRank, kernel: Array, statistics: LayerStatistics) -> Array:
    """`LowRank.errors` [full rank + 1] with what `refined` gains.

    Args:
      family: of `kernel` and `statistics`.

    Example:
      >>> random = np.random.default_rng(0)
      >>> kernel, mixed = random.normal(size=(3, 3, 4, 6)), random.normal(size=(36, 36))
      >>> moments = LayerStatistics(mean=np.zeros((1, 36)), covariance=(mixed @ mixed.T)[None],
      ...                           gradient=np.eye(6)[None], positions=1.0, samples=8)
      >>> from edgepack.numerics.kfac import low_rank
      >>> family = low_rank("spatial", kernel, moments)
      >>> bool((refined_errors(family, kernel, moments)[1:-1] < family.errors[1:-1]).all())
      True
    """
    errors, full = family.errors, len(family.singular)
    if family.form not in ("spatial", "across") or kernel.size > MOST_WEIGHTS:
        return errors
    ranks = np.unique(np.clip(np.rint(np.array(PROBED) * full), 1, full).astype(int))
    ranks = ranks[errors[ranks] > 1e-12 * errors[0]]
    if not len(ranks):
        return errors
    gains = []
    for rank in ranks:
        parts = refined(family.form, kernel, family.factors(int(rank)), statistics, sweeps=PROBED_SWEEPS)
        gains.append(loss_increase(kernel - factorize.join(family.form, *parts), statistics) / errors[rank])
    found: Array = errors * np.exp(np.interp(np.arange(full + 1), ranks, np.log(np.maximum(gains, 1e-6))))
    return np.minimum.accumulate(found)


def _turned(kernel: Array, statistics: LayerStatistics) -> tuple[Array, LayerStatistics]:
    """Kernel and statistics with the two sides of the window exchanged."""
    height, width, channels = kernel.shape[:3]
    per_group = channels if statistics.layout == "whole" else 1
    order = np.arange(height * width * per_group).reshape(height, width, per_group).swapaxes(0, 1).ravel()
    moved = replace(
        statistics,
        mean=statistics.mean[:, order],
        covariance=statistics.covariance[:, order[:, None], order],
    )
    return kernel.swapaxes(0, 1), moved


def _balanced(first: Array, second: Array) -> tuple[Array, Array]:
    """The same product with each component's size shared evenly, so that both factors quantize alike."""
    sizes = np.linalg.norm(first, axis=(0, 1)), np.linalg.norm(second, axis=(0, 2))
    both = (sizes[0] > 0) & (sizes[1] > 0)
    scale = np.where(
        both, np.sqrt(np.divide(sizes[1], sizes[0], out=np.ones_like(sizes[0]), where=both)), 1.0
    )
    return first * scale, second / scale[None, :, None]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Metric:
    """(T/2) tr(ΔᵀΣΔG) of the spatial form with Σ + εI, first factor [kh, ci, r], second [kw, r, co]."""

    kernel: Array
    statistics: LayerStatistics
    floor: float
    gradient: Array

    @classmethod
    def of(cls, kernel: Array, statistics: LayerStatistics) -> _Metric:
        variances = np.diagonal(statistics.covariance, axis1=1, axis2=2)
        floor = INPUT_FLOOR * max(float(variances.sum()), 1e-300)
        gradient = statistics.sensitivity[0]
        lifted = gradient + GRADIENT_FLOOR * max(float(np.trace(gradient)), 1e-300) * np.eye(len(gradient))
        return cls(kernel=np.asarray(kernel, np.float64), statistics=statistics, floor=floor, gradient=lifted)

    def weigh(self, change: Array) -> Array:
        """Σ applied to the inputs of a kernel-shaped array whose last axis is anything."""
        shape, covariance = change.shape, self.statistics.covariance
        if self.statistics.layout == "blocks":
            columns = change.reshape(-1, shape[2], shape[-1])
            weighed = np.einsum("ckl,lcn->kcn", covariance, columns, optimize=True).reshape(shape)
        else:
            weighed = (covariance[0] @ change.reshape(-1, shape[-1])).reshape(shape)
        solid: Array = weighed + self.floor * change
        return solid

    def joined(self, first: Array, second: Array) -> Array:
        kernel: Array = np.einsum("hcr,wro->hwco", first, second, optimize=True)
        return kernel

    def cost(self, first: Array, second: Array) -> float:
        change = self.kernel - self.joined(first, second)
        return float(np.sum(self.weigh(change) * (change @ self.gradient)))

    def expand(self, first: Array) -> Array:
        """The second factor by least squares; G weighs outputs that do not share it, and drops out."""
        height, width, channels, outputs = self.kernel.shape
        rank = first.shape[-1]
        features = np.zeros((height, width, channels, width, rank))
        at = np.arange(width)
        features[:, at, :, at, :] = first[None]
        features = features.reshape(height, width, channels, width * rank)
        weighed = self.weigh(features).reshape(-1, width * rank)
        gram = features.reshape(-1, width * rank).T @ weighed
        gram[np.diag_indices(len(gram))] += 1e-10 * np.trace(gram) / len(gram) + 1e-300
        second: Array = np.linalg.solve(gram, weighed.T @ self.kernel.reshape(-1, outputs))
        return second.reshape(width, rank, outputs)

    def reduce(self, first: Array, second: Array) -> Array:
        """The first factor by conjugate gradients, from where it is."""

        def normal(change: Array) -> Array:
            weighed = self.weigh(change) @ self.gradient
            pulled: Array = np.einsum("hwco,wro->hcr", weighed, second, optimize=True)
            return pulled

        rest = normal(self.kernel - self.joined(first, second))
        direction, size = rest, float(np.sum(rest * rest))
        for _ in range(STEPS):
            applied = normal(self.joined(direction, second))
            curvature = float(np.sum(direction * applied))
            if size <= 0.0 or curvature <= 0.0:
                break
            step = size / curvature
            first, rest = first + step * direction, rest - step * applied
            previous, size = size, float(np.sum(rest * rest))
            direction = rest + size / previous * direction
        return first
