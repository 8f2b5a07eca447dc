"""What a treatment costs one kernel, told from layer statistics: rise of the loss, bytes after a compressor, weights left.

A treatment is what prune, cluster, factorize and weight_bits do to the kernel together. Its error is the second-order rise
of the loss (`numerics.rate_rounding.stiffness` where the other weights make up for a change, the diagonal of the inputs'
covariance where they do not), its bytes the entropy of the integer codes. A sample of the weights is looked at: a prediction
takes milliseconds, and hundreds of points are predicted for one that is built.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.numerics import kfac, rank
from edgepack.numerics.entropy import BIAS_BYTES, SCALE_BYTES, coded_bytes
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.obs_sweep import Curvature
from edgepack.numerics.rate_rounding import stiffness

Array: TypeAlias = npt.NDArray[Any]

SAMPLE: Final = 2048
"""Weights that a prediction looks at, at most."""
ROUNDS: Final = 6
"""Of k-means."""
INT8: Final = 127


@dataclass(frozen=True, kw_only=True)
class Treatment:
    """What is done to a kernel.

    Attributes:
      zeros: share of the weights that becomes zero; or, with `below`, those whose saliency is lower.
      below: threshold on the saliency, for one ranking of the whole model.
      values: distinct ones at most; None for no clustering.
      by_channel: values of each output channel, or of the kernel.
      repaired: whether the other weights make up for what is changed.
      keep: share of the weights that low rank leaves; 1.0 for none.
      width: share of the channels that stays.
      bits: of a rounded weight.
      one_scale: whether the kernel has one scale.
    """

    zeros: float = 0.0
    below: float | None = None
    values: int | None = None
    by_channel: bool = True
    repaired: bool = True
    keep: float = 1.0
    width: float = 1.0
    bits: int = 8
    one_scale: bool = False


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a treatment costs.

    Attributes:
      loss: rise of it, in the loss's own units.
      delivered_bytes: of codes, scales and biases, compressed.
      weights: how many are left in the file.
    """

    loss: float
    delivered_bytes: float
    weights: float


@dataclass(eq=False)
class KernelProxy:
    """One kernel: its weights [columns, inputs], sampled, with what the loss rises by for each.

    Args:
      kernel: in Keras layout.
      seen: statistics of it; None where there are none, and then errors count by the weights' own size.
    """

    kernel: Array
    seen: LayerStatistics | None
    weights: Array = field(init=False)
    repaired: Array = field(init=False)
    plain: Array = field(init=False)
    _known: dict[Treatment, Cost] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.seen is None:
            matrix = np.asarray(self.kernel, np.float64).reshape(1, -1, self.kernel.shape[-1])
            size = max(float(np.square(matrix).sum()), 1e-30)
            repaired = plain = np.full(matrix.shape, 1.0 / size)
        else:
            matrix = self.seen.unfold(self.kernel)
            curvature = Curvature.of(self.seen)
            repaired = np.broadcast_to(stiffness(curvature), matrix.shape)
            diagonal = np.diagonal(curvature.covariance, axis1=1, axis2=2)
            # κ holds for errors as repairs leave them, alike in all directions of the whitened input; plain ones are not.
            outputs = curvature.outputs / self.seen.coherence
            plain = 0.5 * curvature.positions * diagonal[:, :, None] * outputs[:, None, :]
            plain = np.broadcast_to(plain, matrix.shape)
        self.outputs = matrix.shape[0] * matrix.shape[2]
        inputs = max(1, matrix.shape[1])
        columns = np.unique(
            np.linspace(0, self.outputs - 1, max(1, min(self.outputs, SAMPLE // inputs or 1))).astype(int)
        )
        rows = np.unique(np.linspace(0, inputs - 1, min(inputs, SAMPLE)).astype(int))

        def sampled(array: Array) -> Array:
            by_column = np.moveaxis(array, 1, 2).reshape(self.outputs, inputs)
            return np.ascontiguousarray(by_column[np.ix_(columns, rows)])

        self.weights, self.repaired, self.plain = sampled(matrix), sampled(repaired), sampled(plain)
        self.share = self.weights.size / max(1, self.kernel.size)

    def saliency(self, *, repaired: bool) -> Array:
        """Of the sampled weights: by statistics, or their plain size."""
        return self.repaired * np.square(self.weights) if repaired else np.abs(self.weights)

    def cost(self, treatment: Treatment) -> Cost:
        """What the treatment costs; told once."""
        if treatment not in self._known:
            self._known[treatment] = self._cost(treatment)
        return self._known[treatment]

    def _cost(self, treatment: Treatment) -> Cost:
        stiff = self.repaired if treatment.repaired else self.plain
        loss, structure = self._structural(treatment)
        zero = self._zeros(treatment)
        found = np.where(zero, 0.0, self.weights)
        if treatment.values is not None:
            found = _clustered(found, stiff, treatment.values, by_channel=treatment.by_channel, zero=zero)
        codes, found = _coded(found, treatment)
        loss += float((stiff * np.square(self.weights - found)).sum()) / self.share
        counts = np.bincount((codes + INT8).ravel()) * (structure / self.share)
        scales = 2 if treatment.one_scale else 2 * self.outputs * treatment.width
        size = (
            coded_bytes(np.rint(counts)) + SCALE_BYTES * scales + BIAS_BYTES * self.outputs * treatment.width
        )
        return Cost(loss=loss, delivered_bytes=size, weights=self.kernel.size * structure)

    def _structural(self, treatment: Treatment) -> tuple[float, float]:
        """Loss of low rank and of lost channels, and the share of the weights that they leave."""
        loss, share = 0.0, treatment.keep * treatment.width**2
        if treatment.keep < 1.0 and len(self.low_rank):
            place = min(len(self.low_rank) - 1, max(1, round(treatment.keep * (len(self.low_rank) - 1))))
            loss += float(self.low_rank[place])
        if treatment.width < 1.0:
            columns = np.sort(self.saliency(repaired=True).sum(axis=1))
            loss += float(columns[: round((1 - treatment.width) * len(columns))].sum()) / self.share
        return loss, share

    @functools.cached_property
    def low_rank(self) -> Array:
        """Loss by the share of the weights that a low-rank form keeps, 0 … 1 in even steps; () where none fits."""
        forms = _forms(self.kernel)
        if self.seen is None or self.seen.layout != "whole" or not forms:
            return np.zeros(0)
        best = np.full(33, np.inf)
        for form in forms:
            losses = kfac.low_rank(form, self.kernel, self.seen).errors
            for place in range(1, 33):
                wanted = rank.rank_for_ratio(form, self.kernel.shape, place / 32 * 0.999)
                best[place] = min(best[place], float(losses[min(wanted, len(losses) - 1)]))
        best[0] = best[1]
        return best

    def _zeros(self, treatment: Treatment) -> npt.NDArray[np.bool_]:
        saliency = self.saliency(repaired=treatment.repaired)
        if treatment.below is not None:
            return np.asarray(saliency < treatment.below)
        count = round(treatment.zeros * saliency.size)
        zero: npt.NDArray[np.bool_] = self.weights == 0
        if count:
            zero = zero | (saliency <= np.partition(saliency.ravel(), count - 1)[count - 1])
        return zero


def _clustered(weights: Array, stiff: Array, values: int, *, by_channel: bool, zero: Array) -> Array:
    """Weights at the nearest of few values, by a few rounds of weighted k-means from even shares of them."""
    rows = weights if by_channel else weights.reshape(1, -1)
    heavy = stiff.reshape(rows.shape)
    own = values - 1 if zero.any() else values
    if rows.shape[1] <= values:
        return weights
    places = (np.arange(max(own, 1)) + 0.5) / max(own, 1)
    centres = np.quantile(rows, places, axis=1).T
    spread = heavy + 1e-12 * max(float(heavy.max()), 1e-300)
    line = np.arange(len(rows))[:, None] * centres.shape[1]
    for _ in range(ROUNDS):
        nearest = np.abs(rows[:, :, None] - centres[:, None, :]).argmin(axis=2)
        flat = (nearest + line).ravel()
        mass = np.bincount(flat, spread.ravel(), centres.size).reshape(centres.shape)
        sums = np.bincount(flat, (spread * rows).ravel(), centres.size).reshape(centres.shape)
        centres = np.where(mass > 0, sums / np.where(mass > 0, mass, 1.0), centres)
    nearest = np.abs(rows[:, :, None] - centres[:, None, :]).argmin(axis=2)
    found = np.take_along_axis(centres, nearest, axis=1).reshape(weights.shape)
    return np.where(zero, 0.0, found)


def _coded(weights: Array, treatment: Treatment) -> tuple[Array, Array]:
    """Integer codes, and the values that they stand for."""
    largest = (
        np.abs(weights).max(keepdims=True)
        if treatment.one_scale
        else np.abs(weights).max(axis=1, keepdims=True)
    )
    largest = np.where(largest > 0, largest, 1.0)
    levels = min(INT8, 2 ** (treatment.bits - 1) - 1)
    codes = np.rint(weights / largest * levels)
    stored = np.rint(codes * INT8 / levels).astype(np.int64)
    return stored, codes / levels * largest


def _forms(kernel: Array) -> tuple[Literal["dense", "pointwise", "conv1d", "channel"], ...]:
    shape = kernel.shape
    if kernel.ndim == 2:
        return ("dense",)
    if kernel.ndim == 3:
        return ("conv1d",)
    if kernel.ndim == 4:
        return ("pointwise",) if shape[:2] == (1, 1) else ("channel",)
    return ()
