"""Whether two processors compute the same model: the reference kernels' bits, and how far the fast ones are apart."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.runtime.golden import argmax_agreement, difference

MAX_LSB: Final = 2.0
MIN_AGREEMENT: Final = 0.995
FLOAT_TOLERANCE: Final = 1e-5
"""Of the largest value: float sums depend on their order, which kernels choose."""


@dataclass(frozen=True, kw_only=True)
class OutputConformance:
    """One output of the same inputs, here and on the board.

    Attributes:
      name: of the output.
      integer: whether it is of integers, so that differences are in LSB; else they are absolute.
      reference_sha256: of what the reference kernels answer, here and there.
      reference_tolerance: how far these may be apart: 0 for integers, which are the same bits on every processor.
      reference_difference, default_difference: the largest, of each set of kernels.
      default_tolerance: how far the default kernels (XNNPACK) may be apart.
      argmax_agreement: of the default kernels: fraction of samples with the same largest element; None for one element.
    """

    name: str
    integer: bool
    reference_sha256: tuple[str, str]
    reference_tolerance: float
    reference_difference: float
    default_tolerance: float
    default_difference: float
    argmax_agreement: float | None

    @property
    def identical(self) -> bool:
        """Whether the reference kernels gave the same bytes."""
        return self.reference_sha256[0] == self.reference_sha256[1]

    @property
    def holds(self) -> bool:
        agrees = self.argmax_agreement is None or self.argmax_agreement >= MIN_AGREEMENT
        near = self.reference_difference <= self.reference_tolerance
        return near and self.default_difference <= self.default_tolerance and agrees


def output_conformance(
    name: str,
    reference_here: npt.NDArray[Any],
    reference_there: npt.NDArray[Any],
    default_here: npt.NDArray[Any],
    default_there: npt.NDArray[Any],
) -> OutputConformance:
    """Compares one output's answers as stored, [n, …], of two sets of kernels on two machines."""
    integer = bool(np.issubdtype(reference_here.dtype, np.integer))
    floor = FLOAT_TOLERANCE * float(np.max(np.abs(reference_here.astype(np.float64)), initial=0.0))
    # A float output may be a dequantized one: then two sets of kernels on one processor are apart by its steps already.
    float_tolerance = max(floor, 2.0 * difference(reference_here, default_here))
    return OutputConformance(
        name=name,
        integer=integer,
        reference_sha256=(_digest(reference_here), _digest(reference_there)),
        reference_tolerance=0.0 if integer else floor,
        reference_difference=difference(reference_here, reference_there),
        default_tolerance=MAX_LSB if integer else float_tolerance,
        default_difference=difference(default_here, default_there),
        argmax_agreement=argmax_agreement(default_here, default_there),
    )


def _digest(array: npt.NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
