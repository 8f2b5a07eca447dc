"""Tucker-2 form of a Conv2D kernel: 1×1 down, a small k×k core, 1×1 up (Kim et al., ICLR 2016).

The two channel axes get an orthonormal basis each: first the leading eigenvectors of each unfolding (HOSVD),
then a few alternating sweeps (HOOI; De Lathauwer, De Moor and Vandewalle, 2000), each of which can only
lower the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError
from edgepack.numerics.rank import Savings, rank_for_energy, singular_values_fast

Array: TypeAlias = npt.NDArray[Any]
Ranks: TypeAlias = tuple[int, int]
"""Kept input channels and kept output channels."""

SWEEPS: Final = 5


def split_tucker(kernel: Array, ranks: Ranks) -> tuple[Array, Array, Array]:
    """Three kernels whose composition is near the best one of these ranks.

    Args:
      kernel: (kh, kw, ci, co).
      ranks: (r1, r2) with 1 ≤ r1 ≤ ci and 1 ≤ r2 ≤ co. At (ci, co) the composition is the kernel, within
        float error.

    Returns:
      `reduce` (1, 1, ci, r1), `core` (kh, kw, r1, r2), `expand` (1, 1, r2, co), in the kernel's dtype.

    Raises:
      BadInputError: not four axes, or a rank out of range.

    Example:
      >>> [factor.shape for factor in split_tucker(np.ones((3, 3, 8, 6), np.float32), (2, 1))]
      [(1, 1, 8, 2), (3, 3, 2, 1), (1, 1, 1, 6)]
    """
    _check(kernel.shape, ranks)
    values = np.asarray(kernel, np.float64)
    outputs = _basis(values.reshape(-1, values.shape[3]), ranks[1])
    inputs = _basis(values.transpose(0, 1, 3, 2).reshape(-1, values.shape[2]), ranks[0])
    for _ in range(SWEEPS):
        inputs = _basis(np.einsum("hwio,os->hwsi", values, outputs).reshape(-1, values.shape[2]), ranks[0])
        outputs = _basis(np.einsum("hwio,ir->hwro", values, inputs).reshape(-1, values.shape[3]), ranks[1])
    core = np.einsum("hwio,ir,os->hwrs", values, inputs, outputs, optimize=True)
    reduce, core, expand = (
        np.ascontiguousarray(part, kernel.dtype) for part in (inputs[None, None], core, outputs.T[None, None])
    )
    return reduce, core, expand


def join_tucker(reduce: Array, core: Array, expand: Array) -> Array:
    """The (kh, kw, ci, co) kernel that three factors stand for, float64.

    Example:
      >>> core = np.full((1, 1, 1, 1), 3.0)
      >>> join_tucker(np.ones((1, 1, 2, 1)), core, np.ones((1, 1, 1, 2))).ravel().tolist()
      [3.0, 3.0, 3.0, 3.0]
    """
    factors = (np.asarray(factor, np.float64) for factor in (reduce[0, 0], core, expand[0, 0]))
    joined: Array = np.einsum("ir,hwrs,so->hwio", *factors, optimize=True)
    return joined


def ranks_for_energy(kernel: Array, energy: float) -> Ranks:
    """Ranks that keep at least the fraction `energy` of the squared norm.

    The squared error of HOSVD is at most the sum of what both unfoldings discard, so each may discard half.

    Example:
      >>> ranks_for_energy(np.ones((3, 3, 8, 6)), 0.95)
      (1, 1)
    """
    _check(kernel.shape, (1, 1))
    each = 1.0 - (1.0 - energy) / 2.0
    inputs, outputs = mode_singular_values(kernel)
    return rank_for_energy(inputs, each), rank_for_energy(outputs, each)


def ranks_for_error(kernel: Array, error: float) -> Ranks:
    """Ranks whose relative error ‖W − W_r‖ / ‖W‖ is at most `error`.

    Example:
      >>> ranks_for_error(np.ones((3, 3, 8, 6)), 0.1)
      (1, 1)
    """
    return ranks_for_energy(kernel, 1.0 - error * error)


def ranks_for_ratio(shape: Sequence[int], ratio: float) -> Ranks:
    """The largest ranks in the proportion of ci to co whose factors hold at most `ratio` times the weights.

    Example:
      >>> ranks = ranks_for_ratio((3, 3, 64, 128), 0.25)
      >>> ranks, saves_tucker((3, 3, 64, 128), ranks).weights_after <= 0.25 * 3 * 3 * 64 * 128
      ((24, 49), True)
    """
    _check(shape, (1, 1))
    best = (1, 1)
    for step in range(1, max(shape[2:]) + 1):
        part = step / max(shape[2:])
        ranks = (max(1, math.floor(part * shape[2])), max(1, math.floor(part * shape[3])))
        if saves_tucker(shape, ranks).weights_after <= ratio * math.prod(shape):
            best = ranks
    return best


def mode_singular_values(kernel: Array) -> tuple[Array, Array]:
    """Singular values of the input-channel and of the output-channel unfolding, largest first.

    Example:
      >>> [values.round(6).tolist() for values in mode_singular_values(np.ones((1, 1, 4, 1)))]
      [[2.0], [2.0]]
    """
    inputs = kernel.transpose(0, 1, 3, 2).reshape(-1, kernel.shape[2])
    return singular_values_fast(inputs), singular_values_fast(kernel.reshape(-1, kernel.shape[3]))


def saves_tucker(shape: Sequence[int], ranks: Ranks, strides: Sequence[int] = ()) -> Savings:
    """What the three factors cost against the whole layer; the first one runs before the stride.

    Example:
      >>> saves_tucker((3, 3, 64, 64), (16, 16))
      Savings(weights_before=36864, weights_after=4352, multiply_adds_before=36864, multiply_adds_after=4352)
    """
    _check(shape, ranks)
    whole = math.prod(shape)
    reduce, rest = shape[2] * ranks[0], shape[0] * shape[1] * ranks[0] * ranks[1] + ranks[1] * shape[3]
    return Savings(
        weights_before=whole,
        weights_after=reduce + rest,
        multiply_adds_before=whole,
        multiply_adds_after=reduce * math.prod(strides) + rest,
    )


def _basis(matrix: Array, rank: int) -> Array:
    """Leading right singular vectors, (columns, rank), the largest entry of each positive."""
    _, vectors = np.linalg.eigh(matrix.T @ matrix)
    leading = vectors[:, ::-1][:, :rank]
    signs: Array = np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(rank)])
    basis: Array = leading * np.where(signs == 0, 1.0, signs)
    return basis


def _check(shape: Sequence[int], ranks: Ranks) -> None:
    if len(shape) != 4:
        raise BadInputError(
            f"a kernel of shape {tuple(shape)} has no Tucker-2 form: expected (height, width, in, out)"
        )
    if not (1 <= ranks[0] <= shape[2] and 1 <= ranks[1] <= shape[3]):
        raise BadInputError(f"Tucker-2 ranks {ranks}: expected 1 … {shape[2]} and 1 … {shape[3]}")
