"""Low-rank kernels weighted by what they cost the loss: data-aware forms of `edgepack.numerics.factorize`.

With Σ the covariance of what a layer reads, G that of its output gradient and T its output positions, replacing the
kernel W by Ŵ costs (T/2) tr(ΔᵀΣΔG), Δ = W − Ŵ (`second_order`). For S = Σ^½ and R = G^½ that is (T/2)‖SΔR‖², so the
best Ŵ of rank r comes from the singular values of S W R, and costs (T/2) Σ_{i>r} sᵢ²: loss units, comparable across
layers. R = I is the whitened SVD of Zhang et al. (2015) and SVD-LLM (Wang et al., 2024), S = R = I the plain one.

The spatial forms cut another matrix than the one that Σ belongs to: here Σ averaged over the other axis takes its place,
and `kfac_spatial` goes on from there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError
from edgepack.numerics import factorize
from edgepack.numerics.forms import Form
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.second_order import GRADIENT_FLOOR, INPUT_FLOOR, square_root

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class LowRank:
    """A kernel's low-rank approximations of every rank in one form.

    Attributes:
      form: of `factorize`.
      shape: of the kernel.
      singular: [full rank] the singular values of S W R, largest first.
      positions: T.
    """

    form: Form
    shape: tuple[int, ...]
    singular: Array
    positions: float
    _reduce: Array
    _expand: Array

    @property
    def errors(self) -> Array:
        """[full rank + 1]: expected loss at rank 0, 1, … full; for the spatial forms before refinement."""
        energy = np.square(self.singular)[::-1]
        return 0.5 * self.positions * np.append(np.cumsum(energy)[::-1], 0.0)

    def factors(self, rank: int) -> tuple[Array, Array]:
        """The two kernels of rank `rank`, float64, in the order in which they are applied.

        Raises:
          BadInputError: rank out of range.
        """
        if not 1 <= rank <= len(self.singular):
            raise BadInputError(f"rank {rank}: expected 1 … {len(self.singular)}")
        return factorize.as_kernels(self.form, self.shape, self._reduce[:, :rank], self._expand[:rank])


def low_rank(form: Form, kernel: Array, statistics: LayerStatistics) -> LowRank:
    """The family of loss-weighted low-rank forms of one kernel.

    Args:
      form: one of the two-factor forms that fits the kernel.
      kernel: in Keras layout.
      statistics: of the layer; layouts "whole" and "blocks".

    Raises:
      BadInputError: the kernel does not have the form, or the statistics are those of a grouped kernel.

    Example:
      >>> moments = LayerStatistics(mean=np.zeros((1, 2)), covariance=np.diag([4.0, 1.0])[None],
      ...                           gradient=np.eye(2)[None], positions=2.0, samples=8)
      >>> family = low_rank("dense", np.array([[1.0, 0.0], [0.0, 3.0]]), moments)
      >>> family.singular.round(9).tolist(), family.errors.round(9).tolist()
      ([3.0, 2.0], [13.0, 4.0, 0.0])
    """
    _check_layout(statistics)
    matrix = factorize.unfold(form, kernel)
    left, left_inverse = _roots(form, kernel.shape, statistics)
    right, right_inverse = square_root(statistics.sensitivity[0], GRADIENT_FLOOR)
    columns = matrix.shape[1] // len(right)
    weighted = _right(left @ matrix, right, columns)
    rows_first = weighted.shape[0] <= weighted.shape[1]
    gram = weighted @ weighted.T if rows_first else weighted.T @ weighted
    values, vectors = np.linalg.eigh(gram)
    singular = np.sqrt(np.maximum(values[::-1], 0.0))
    basis = _signed(vectors[:, ::-1])
    root = np.sqrt(singular)
    inverse = np.divide(1.0, root, out=np.zeros_like(root), where=root > 1e-12 * max(float(root[0]), 1e-300))
    if rows_first:  # Ŵ = S⁻¹ U Uᵀ S W
        reduce = (left_inverse @ basis) * root
        expand = inverse[:, None] * (basis.T @ (left @ matrix))
    else:  # Ŵ = W R V Vᵀ R⁻¹
        reduce = (_right(matrix, right, columns) @ basis) * inverse
        expand = root[:, None] * _right(basis.T, right_inverse, columns)
    return LowRank(
        form=form,
        shape=tuple(kernel.shape),
        singular=singular,
        positions=statistics.positions,
        _reduce=reduce,
        _expand=expand,
    )


def _check_layout(statistics: LayerStatistics) -> None:
    if statistics.layout not in ("whole", "blocks"):
        raise BadInputError(f"a kernel with {statistics.layout} groups has no loss-weighted low-rank form")


def _signed(vectors: Array) -> Array:
    """Eigenvectors with their largest entry positive, so that results repeat."""
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])
    signed: Array = vectors * np.where(signs == 0, 1.0, signs)
    return signed


def _right(matrix: Array, root: Array, blocks: int) -> Array:
    """matrix · (I ⊗ root)."""
    rows = len(matrix)
    product: Array = (matrix.reshape(rows * blocks, -1) @ root).reshape(rows, -1)
    return product


def _roots(form: Form, shape: tuple[int, ...], statistics: LayerStatistics) -> tuple[Array, Array]:
    """Root of the covariance of the unfolded matrix's rows, and its inverse."""
    if form in ("spatial", "across"):
        return square_root(_averaged(form, shape, statistics), INPUT_FLOOR)
    return square_root(_whole(statistics), INPUT_FLOOR)


def _whole(statistics: LayerStatistics) -> Array:
    """The covariance as one matrix [d, d], zeros between the blocks of layout "blocks"."""
    if statistics.layout == "whole":
        return cast(Array, statistics.covariance[0])
    channels, side = statistics.mean.shape
    whole = np.zeros((side, channels, side, channels))
    at = np.arange(channels)
    whole[:, at, :, at] = statistics.covariance
    return whole.reshape(side * channels, side * channels)


def _averaged(form: Form, shape: tuple[int, ...], statistics: LayerStatistics) -> Array:
    """Σ of one line of the window along the first factor's axis, averaged over the lines."""
    height, width, channels = shape[:3]
    if statistics.layout == "blocks":
        kept = "cijkj->cik" if form == "spatial" else "cijik->cjk"
        lines = np.einsum(kept, statistics.covariance.reshape(channels, height, width, height, width))
        whole = np.zeros((lines.shape[1], channels, lines.shape[1], channels))
        at = np.arange(channels)
        whole[:, at, :, at] = lines
    else:
        kept = "ijaljb->ialb" if form == "spatial" else "ijailb->jalb"
        whole = np.einsum(
            kept, statistics.covariance[0].reshape(height, width, channels, height, width, channels)
        )
    lines_averaged = width if form == "spatial" else height
    side = whole.shape[0] * whole.shape[1]
    return whole.reshape(side, side) / lines_averaged
