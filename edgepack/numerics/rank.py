"""Which rank to keep, and what a factorization saves at that rank."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError
from edgepack.numerics.factorize import Form, factor_shapes, full_rank, unfold

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Savings:
    """Cost of a layer before and after a factorization, biases left out.

    Attributes:
      weights_before, weights_after: number of kernel weights.
      multiply_adds_before, multiply_adds_after: per output position of the layer, on a large map.
    """

    weights_before: int
    weights_after: int
    multiply_adds_before: int
    multiply_adds_after: int

    @property
    def pays(self) -> bool:
        """Whether it saves weights *and* multiply-adds."""
        return (
            self.weights_after < self.weights_before and self.multiply_adds_after < self.multiply_adds_before
        )


def singular_values_fast(matrix: Array) -> Array:
    """Singular values of a matrix, largest first, float64, by the eigenvalues of its smaller Gram matrix.

    Values below 1e-8 of the largest are rounding noise, which does not matter for choosing ranks; several
    times faster than an SVD.

    Example:
      >>> singular_values_fast(np.diag([3.0, 4.0, 0.0])).round(12).tolist()
      [4.0, 3.0, 0.0]
    """
    values = np.asarray(matrix, np.float64)
    gram = values @ values.T if values.shape[0] < values.shape[1] else values.T @ values
    singular: Array = np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0))
    return singular


def singular_values(form: Form, kernel: Array) -> Array:
    """Singular values of the matrix that a form cuts, largest first, float64.

    Example:
      >>> singular_values("channel", np.ones((3, 3, 4, 1))).round(6).tolist()
      [6.0]
    """
    return singular_values_fast(unfold(form, kernel))


def relative_error(singular: Array, rank: int) -> float:
    """‖W − W_r‖ / ‖W‖ of the best rank-`rank` approximation, in the Frobenius norm; 0 for a kernel of zeros.

    Example:
      >>> relative_error(np.array([4.0, 3.0]), 1)
      0.6
    """
    energy = np.square(np.asarray(singular, np.float64))
    total = float(energy.sum())
    return math.sqrt(float(energy[rank:].sum()) / total) if total > 0 else 0.0


def rank_for_energy(singular: Array, energy: float) -> int:
    """The smallest rank that keeps the fraction `energy` (0 … 1) of the sum of squared singular values.

    Example:
      >>> rank_for_energy(np.array([3.0, 1.0, 0.1]), 0.95), rank_for_energy(np.array([3.0, 1.0, 0.1]), 1.0)
      (2, 3)
    """
    _check_fraction("energy", energy)
    kept = np.cumsum(np.square(np.asarray(singular, np.float64)))
    if kept[-1] <= 0:
        return 1
    return min(int(np.searchsorted(kept, energy * kept[-1])) + 1, len(kept))


def rank_for_error(singular: Array, error: float) -> int:
    """The smallest rank whose `relative_error` is at most `error` (0 … 1).

    Example:
      >>> rank_for_error(np.array([4.0, 3.0]), 0.6), rank_for_error(np.array([4.0, 3.0]), 0.5)
      (1, 2)
    """
    _check_fraction("error", error)
    values = np.square(np.asarray(singular, np.float64))
    # Summed from the small end, where accuracy matters; the slack admits equality despite rounding.
    discarded = np.append(np.cumsum(values[::-1])[::-1], 0.0)
    allowed = error * error * discarded[0] * (1 + 1e-12)
    return max(1, int(np.argmax(discarded <= allowed)))


def rank_for_ratio(form: Form, shape: Sequence[int], ratio: float) -> int:
    """The largest rank whose factors hold at most `ratio` (0 … 1) times the kernel's weights; at least 1.

    Example:
      >>> rank_for_ratio("dense", (100, 100), 0.5)
      25
    """
    _check_fraction("ratio", ratio)
    per_rank = sum(math.prod(factor) for factor in factor_shapes(form, shape, 1))
    allowed = math.floor(ratio * math.prod(shape) / per_rank + 1e-9)
    return max(1, min(allowed, full_rank(form, shape)))


def saves(form: Form, shape: Sequence[int], rank: int, strides: Sequence[int] = ()) -> Savings:
    """What a factorization at `rank` costs against the whole layer.

    Args:
      form: one of the two-factor forms.
      shape: of the kernel, in Keras layout.
      rank: of the factorization.
      strides: of the layer, one per spatial axis; () for none. In the spatial form the first factor strides
        along the height only and so computes `strides[1]` columns for each that the second one keeps; "across"
        is the other way round.

    Example:
      >>> saves("dense", (100, 50), 10)
      Savings(weights_before=5000, weights_after=1500, multiply_adds_before=5000, multiply_adds_after=1500)
      >>> saves("spatial", (3, 3, 16, 16), 8, (2, 2)).multiply_adds_after
      1152
    """
    first, second = (math.prod(factor) for factor in factor_shapes(form, shape, rank))
    whole = math.prod(shape)
    across = {"spatial": 1, "across": 0}.get(form)
    repeated = 1 if across is None or len(strides) != 2 else strides[across]
    return Savings(
        weights_before=whole,
        weights_after=first + second,
        multiply_adds_before=whole,
        multiply_adds_after=first * repeated + second,
    )


def max_useful_rank(form: Form, shape: Sequence[int], strides: Sequence[int] = ()) -> int:
    """The largest rank that still saves weights and multiply-adds; 0 where none does.

    Example:
      >>> max_useful_rank("dense", (100, 100)), max_useful_rank("dense", (1, 100))
      (49, 0)
    """
    one = saves(form, shape, 1, strides)  # both costs are proportional to the rank
    per_rank = max(one.weights_after, one.multiply_adds_after)
    return min((one.weights_before - 1) // per_rank, full_rank(form, shape))


def _check_fraction(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise BadInputError(f"{name} = {value}: expected a number from 0 to 1")
