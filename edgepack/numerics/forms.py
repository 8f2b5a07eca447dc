"""Low-rank forms of a kernel by their shapes alone; what they are is told in `edgepack.numerics.factorize`.

A plan needs no more of most layers, and so no numpy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from edgepack.errors import BadInputError

Form: TypeAlias = Literal["dense", "pointwise", "conv1d", "channel", "spatial", "across"]

_AXES: Final[dict[str, tuple[int, ...]]] = {
    "dense": (2,),
    "pointwise": (3, 4),
    "conv1d": (3,),
    "channel": (4,),
    "spatial": (4,),
    "across": (4,),
}


def factor_shapes(form: Form, shape: Sequence[int], rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of the two factors of a kernel of shape `shape`.

    Example:
      >>> factor_shapes("spatial", (3, 5, 16, 32), 4)
      ((3, 1, 16, 4), (1, 5, 4, 32))
    """
    check_shape(form, shape)
    outputs = shape[-1]
    if form == "spatial":
        return (shape[0], 1, shape[2], rank), (1, shape[1], rank, outputs)
    if form == "across":
        return (1, shape[1], shape[2], rank), (shape[0], 1, rank, outputs)
    return (*shape[:-1], rank), (*(1 for _ in shape[:-2]), rank, outputs)


def full_rank(form: Form, shape: Sequence[int]) -> int:
    """The rank at which nothing is lost: the smaller side of the unfolded matrix.

    Example:
      >>> full_rank("channel", (3, 3, 16, 32))
      32
    """
    check_shape(form, shape)
    if form == "spatial":
        return min(shape[0] * shape[2], shape[1] * shape[3])
    if form == "across":
        return min(shape[1] * shape[2], shape[0] * shape[3])
    return min(math.prod(shape[:-1]), shape[-1])


def check_shape(form: str, shape: Sequence[int]) -> None:
    """Raises BadInputError where a kernel does not have the axes that the form needs."""
    if form not in _AXES:
        raise BadInputError(f'factorization form "{form}" is unknown; expected one of {", ".join(_AXES)}')
    if form == "pointwise" and len(shape) in (3, 4) and all(side == 1 for side in shape[:-2]):
        return
    if form == "pointwise" or len(shape) not in _AXES[form]:
        raise BadInputError(f'a kernel of shape {tuple(shape)} cannot be factorized in form "{form}"')
