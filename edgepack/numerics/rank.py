"""Which rank to keep, and what a factorization saves at that rank."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from edgepack.errors import BadInputError
from edgepack.numerics.forms import Form, factor_shapes, full_rank

Ranks: TypeAlias = tuple[int, int]
"""Kept input channels and kept output channels of a Tucker-2 form."""


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


def relative_error(singular: Iterable[float], rank: int) -> float:
    """‖W − W_r‖ / ‖W‖ of the best rank-`rank` approximation, in the Frobenius norm; 0 for a kernel of zeros.

    Example:
      >>> relative_error([4.0, 3.0], 1)
      0.6
    """
    energy = _squares(singular)
    total = math.fsum(energy)
    return math.sqrt(math.fsum(energy[rank:]) / total) if total > 0 else 0.0


def rank_for_energy(singular: Iterable[float], energy: float) -> int:
    """The smallest rank that keeps the fraction `energy` (0 … 1) of the sum of squared singular values.

    Example:
      >>> rank_for_energy([3.0, 1.0, 0.1], 0.95), rank_for_energy([3.0, 1.0, 0.1], 1.0)
      (2, 3)
    """
    _check_fraction("energy", energy)
    kept = list(accumulate(_squares(singular)))
    if kept[-1] <= 0:
        return 1
    return min(bisect_left(kept, energy * kept[-1]) + 1, len(kept))


def rank_for_error(singular: Iterable[float], error: float) -> int:
    """The smallest rank whose `relative_error` is at most `error` (0 … 1).

    Example:
      >>> rank_for_error([4.0, 3.0], 0.6), rank_for_error([4.0, 3.0], 0.5)
      (1, 2)
    """
    _check_fraction("error", error)
    # Summed from the small end, where accuracy matters; the slack admits equality despite rounding.
    lost = list(accumulate(reversed(_squares(singular)), initial=0.0))
    allowed = error * error * lost[-1] * (1 + 1e-12)
    return max(1, len(lost) - bisect_right(lost, allowed))


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


def tucker_ranks_for_energy(inputs: Iterable[float], outputs: Iterable[float], energy: float) -> Ranks:
    """Ranks of a Tucker-2 form that keep at least the fraction `energy` of the squared norm.

    The squared error of HOSVD is at most the sum of what both unfoldings discard, so each may discard half.

    Args:
      inputs, outputs: singular values of the input-channel and of the output-channel unfolding.

    Example:
      >>> tucker_ranks_for_energy([3.0, 0.1], [3.0, 0.1], 0.95)
      (1, 1)
    """
    each = 1.0 - (1.0 - energy) / 2.0
    return rank_for_energy(inputs, each), rank_for_energy(outputs, each)


def tucker_ranks_for_ratio(shape: Sequence[int], ratio: float) -> Ranks:
    """The largest ranks of a Tucker-2 form, in the proportion of ci to co, that keep at most `ratio` times the weights.

    Example:
      >>> ranks = tucker_ranks_for_ratio((3, 3, 64, 128), 0.25)
      >>> ranks, saves_tucker((3, 3, 64, 128), ranks).weights_after <= 0.25 * 3 * 3 * 64 * 128
      ((24, 49), True)
    """
    check_tucker(shape, (1, 1))
    best = (1, 1)
    for step in range(1, max(shape[2:]) + 1):
        part = step / max(shape[2:])
        ranks = (max(1, math.floor(part * shape[2])), max(1, math.floor(part * shape[3])))
        if saves_tucker(shape, ranks).weights_after <= ratio * math.prod(shape):
            best = ranks
    return best


def saves_tucker(shape: Sequence[int], ranks: Ranks, strides: Sequence[int] = ()) -> Savings:
    """What the three factors of a Tucker-2 form cost against the whole layer; the first one runs before the stride.

    Example:
      >>> saves_tucker((3, 3, 64, 64), (16, 16))
      Savings(weights_before=36864, weights_after=4352, multiply_adds_before=36864, multiply_adds_after=4352)
    """
    check_tucker(shape, ranks)
    whole = math.prod(shape)
    reduce, rest = shape[2] * ranks[0], shape[0] * shape[1] * ranks[0] * ranks[1] + ranks[1] * shape[3]
    return Savings(
        weights_before=whole,
        weights_after=reduce + rest,
        multiply_adds_before=whole,
        multiply_adds_after=reduce * math.prod(strides) + rest,
    )


def check_tucker(shape: Sequence[int], ranks: Ranks) -> None:
    """Raises BadInputError where a kernel has no Tucker-2 form of these ranks."""
    if len(shape) != 4:
        raise BadInputError(
            f"a kernel of shape {tuple(shape)} has no Tucker-2 form: expected (height, width, in, out)"
        )
    if not (1 <= ranks[0] <= shape[2] and 1 <= ranks[1] <= shape[3]):
        raise BadInputError(f"Tucker-2 ranks {ranks}: expected 1 … {shape[2]} and 1 … {shape[3]}")


def _squares(values: Iterable[float]) -> list[float]:
    return [float(value) * float(value) for value in values]


def _check_fraction(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise BadInputError(f"{name} = {value}: expected a number from 0 to 1")
