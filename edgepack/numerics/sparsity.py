"""Which weights to set to zero: masks by magnitude, True where a weight stays.

Equal magnitudes are cut in the order in which they lie in memory, so that masks repeat. The asked fraction
is a floor: rounding always goes towards more zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError

Array: TypeAlias = npt.NDArray[Any]
Mask: TypeAlias = npt.NDArray[np.bool_]


def sparsity(kernel: Array) -> float:
    """Fraction of exact zeros, 0 … 1; 0 for an empty array.

    Example:
      >>> sparsity(np.array([0.0, -0.0, 1e-30, 2.0]))
      0.5
    """
    return (kernel.size - np.count_nonzero(kernel)) / kernel.size if kernel.size else 0.0


def fraction_mask(kernel: Array, fraction: float) -> Mask:
    """Cuts the smallest weights: ⌈fraction · size⌉ of them.

    Args:
      kernel: weights of any shape; weights that are already zero are cut first.
      fraction: 0 … 1.

    Returns:
      Mask of the kernel's shape.

    Raises:
      BadInputError: fraction out of range.

    Example:
      >>> fraction_mask(np.array([0.5, -0.1, 0.3, -0.4]), 0.5).tolist()
      [True, False, False, True]
    """
    return global_masks([kernel], fraction)[0]


def global_masks(kernels: Sequence[Array], fraction: float) -> list[Mask]:
    """Cuts the smallest weights of several kernels taken together, so that each keeps what it needs.

    Example:
      >>> [mask.tolist() for mask in global_masks([np.array([3.0, 4.0]), np.array([1.0, 5.0, 2.0])], 0.4)]
      [[True, True], [False, True, False]]
    """
    magnitudes = [np.abs(kernel).ravel() for kernel in kernels]
    flat = _cut_smallest(np.concatenate(magnitudes), fraction) if magnitudes else np.ones(0, np.bool_)
    ends = np.cumsum([len(part) for part in magnitudes])
    return [
        part.reshape(kernel.shape) for part, kernel in zip(np.split(flat, ends[:-1]), kernels, strict=False)
    ]


def threshold_mask(kernel: Array, threshold: float) -> Mask:
    """Cuts every weight with |w| < threshold.

    Example:
      >>> threshold_mask(np.array([0.5, -0.1, 0.3]), 0.3).tolist()
      [True, False, True]
    """
    mask: Mask = np.abs(kernel) >= threshold
    return mask


def pattern_mask(kernel: Array, zeros: int, group: int, axis: int = -2) -> Mask:
    """Cuts the `zeros` smallest of every `group` neighbours along one axis (2:4 is zeros=2, group=4).

    Args:
      kernel: weights of any shape.
      zeros: how many of each group; 0 ≤ zeros ≤ group.
      group: neighbours in a group. A last, shorter group of g loses ⌈g · zeros / group⌉.
      axis: the default, -2, runs along the input channels of a Keras kernel, which is what sparse kernels
        read.

    Example:
      >>> pattern_mask(np.array([[4.0], [1.0], [3.0], [2.0], [9.0], [8.0]]), 2, 4).ravel().tolist()
      [True, False, True, False, True, False]
    """
    if not 0 <= zeros <= group or group < 1:
        raise BadInputError(f"pattern {zeros}:{group}: expected 0 ≤ zeros ≤ group and a group of at least 1")
    moved = np.moveaxis(np.abs(kernel), axis, -1)
    length = moved.shape[-1]
    mask = np.ones(moved.shape, np.bool_)
    for start in range(0, length, group):
        part = moved[..., start : start + group]
        order = np.argsort(part, axis=-1, kind="stable")
        cut = order[..., : math.ceil(part.shape[-1] * zeros / group)]
        np.put_along_axis(mask[..., start : start + group], cut, False, axis=-1)
    return np.ascontiguousarray(np.moveaxis(mask, -1, axis))


def block_mask(kernel: Array, fraction: float, block: tuple[int, int]) -> Mask:
    """Cuts whole blocks, those with the smallest mean magnitude, until ⌈fraction · size⌉ weights are zero.

    Args:
      kernel: weights in Keras layout; seen as the matrix (everything else) × (last axis), as TF-MOT does.
      fraction: 0 … 1.
      block: rows and columns of a block; blocks at the edges may be smaller.

    Example:
      >>> block_mask(np.array([[1.0, 1.0, 5.0], [1.0, 1.0, 5.0]]), 0.5, (2, 2)).tolist()
      [[False, False, True], [False, False, True]]
    """
    _check_fraction(fraction)
    rows, columns = block
    if rows < 1 or columns < 1:
        raise BadInputError(f"block {rows}×{columns}: expected at least 1×1")
    matrix = np.abs(kernel).reshape(-1, kernel.shape[-1])
    row_starts, column_starts = np.arange(0, matrix.shape[0], rows), np.arange(0, matrix.shape[1], columns)
    sums = np.add.reduceat(np.add.reduceat(matrix, row_starts, axis=0), column_starts, axis=1)
    heights = np.diff(np.append(row_starts, matrix.shape[0]))
    widths = np.diff(np.append(column_starts, matrix.shape[1]))
    areas = np.outer(heights, widths)
    order = np.argsort((sums / areas).ravel(), kind="stable")
    covered = np.cumsum(areas.ravel()[order])
    wanted = _wanted(fraction, matrix.size)
    count = int(np.searchsorted(covered, wanted)) + 1 if wanted else 0
    kept = np.ones(areas.size, np.bool_)
    kept[order[:count]] = False
    spread = np.repeat(np.repeat(kept.reshape(areas.shape), heights, axis=0), widths, axis=1)
    return spread.reshape(kernel.shape)


def _cut_smallest(magnitudes: Array, fraction: float) -> Mask:
    _check_fraction(fraction)
    mask = np.ones(len(magnitudes), np.bool_)
    mask[np.argsort(magnitudes, kind="stable")[: _wanted(fraction, len(magnitudes))]] = False
    return mask


def _wanted(fraction: float, size: int) -> int:
    """⌈fraction · size⌉, where 0.3 · 10 is 3 although its product in floats is a little more."""
    return min(size, math.ceil(fraction * size - 1e-9 * size))


def _check_fraction(fraction: float) -> None:
    if not 0.0 <= fraction <= 1.0:
        raise BadInputError(f"sparsity {fraction}: expected a number from 0 to 1")
