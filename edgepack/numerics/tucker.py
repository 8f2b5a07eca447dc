"""Tucker-2 form of a Conv2D kernel: 1×1 down, a small k×k core, 1×1 up (Kim et al., ICLR 2016).

The two channel axes get an orthonormal basis each: first the leading eigenvectors of each unfolding (HOSVD),
then a few alternating sweeps (HOOI; De Lathauwer, De Moor and Vandewalle, 2000), each of which can only
lower the error.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.numerics.factorize import singular_values_fast
from edgepack.numerics.rank import Ranks, check_tucker, tucker_ranks_for_energy

Array: TypeAlias = npt.NDArray[Any]

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
    check_tucker(kernel.shape, ranks)
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
    """Ranks that keep at least the fraction `energy` of the squared norm, see `rank.tucker_ranks_for_energy`.

    Example:
      >>> ranks_for_energy(np.ones((3, 3, 8, 6)), 0.95)
      (1, 1)
    """
    check_tucker(kernel.shape, (1, 1))
    return tucker_ranks_for_energy(*mode_singular_values(kernel), energy)


def ranks_for_error(kernel: Array, error: float) -> Ranks:
    """Ranks whose relative error ‖W − W_r‖ / ‖W‖ is at most `error`.

    Example:
      >>> ranks_for_error(np.ones((3, 3, 8, 6)), 0.1)
      (1, 1)
    """
    return ranks_for_energy(kernel, 1.0 - error * error)


def mode_singular_values(kernel: Array) -> tuple[Array, Array]:
    """Singular values of the input-channel and of the output-channel unfolding, largest first.

    Example:
      >>> [values.round(6).tolist() for values in mode_singular_values(np.ones((1, 1, 4, 1)))]
      [[2.0], [2.0]]
    """
    inputs = kernel.transpose(0, 1, 3, 2).reshape(-1, kernel.shape[2])
    return singular_values_fast(inputs), singular_values_fast(kernel.reshape(-1, kernel.shape[3]))


def _basis(matrix: Array, rank: int) -> Array:
    """Leading right singular vectors, (columns, rank), the largest entry of each positive."""
    _, vectors = np.linalg.eigh(matrix.T @ matrix)
    leading = vectors[:, ::-1][:, :rank]
    signs: Array = np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(rank)])
    basis: Array = leading * np.where(signs == 0, 1.0, signs)
    return basis
