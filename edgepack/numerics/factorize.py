"""Low-rank forms of Dense and convolution kernels: the best product of two smaller kernels.

Every two-factor form lays the kernel out as a matrix (`unfold`), takes the best approximation of rank r in
the Frobenius norm (Eckart and Young, 1936), and lays the two factors out as kernels again:

| form      | kernel           | matrix                   | factors                         |
|-----------|------------------|--------------------------|---------------------------------|
| dense     | (in, out)        | in × out                 | (in, r), (r, out)               |
| pointwise | (1, 1, ci, co)   | ci × co                  | (1, 1, ci, r), (1, 1, r, co)    |
| conv1d    | (k, ci, co)      | (k·ci) × co              | (k, ci, r), (1, r, co)          |
| channel   | (kh, kw, ci, co) | (kh·kw·ci) × co          | (kh, kw, ci, r), (1, 1, r, co)  |
| spatial   | (kh, kw, ci, co) | (kh·ci) × (kw·co)        | (kh, 1, ci, r), (1, kw, r, co)  |
| across    | (kh, kw, ci, co) | (kw·ci) × (kh·co)        | (1, kw, ci, r), (kh, 1, r, co)  |

"across" is "spatial" with the two sides exchanged. The spatial form is Jaderberg, Vedaldi and Zisserman (2014), the
channel form Zhang et al. (2015). The three-factor form is in `edgepack.numerics.tucker`; which rank to keep is in
`edgepack.numerics.rank`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError
from edgepack.numerics.forms import Form, check_shape, factor_shapes

Array: TypeAlias = npt.NDArray[Any]


def unfold(form: Form, kernel: Array) -> Array:
    """The matrix whose rank the form cuts, float64.

    Args:
      form: one of the six two-factor forms.
      kernel: weights in Keras layout, as in the table above.

    Raises:
      BadInputError: the kernel does not have the axes that the form needs.

    Example:
      >>> unfold("spatial", np.zeros((3, 5, 16, 32), np.float32)).shape
      (48, 160)
    """
    check_shape(form, kernel.shape)
    matrix = np.asarray(kernel, np.float64)
    if form == "across":
        matrix, form = matrix.swapaxes(0, 1), "spatial"
    if form == "spatial":
        height, width, inputs, outputs = matrix.shape
        return matrix.transpose(0, 2, 1, 3).reshape(height * inputs, width * outputs)
    return matrix.reshape(-1, matrix.shape[-1])


def split(form: Form, kernel: Array, rank: int) -> tuple[Array, Array]:
    """The two kernels of rank `rank` whose composition is nearest to `kernel`.

    Args:
      form: one of the six two-factor forms.
      kernel: weights in Keras layout.
      rank: 1 … `full_rank`; at full rank the composition is the kernel itself, within float error.

    Returns:
      The factors in the order in which they are applied, laid out as in the table above, in the kernel's
      dtype. The singular values are shared evenly, so both factors quantize with similar scales.

    Raises:
      BadInputError: rank out of range or a kernel of the wrong shape.

    Example:
      >>> reduce, expand = split("channel", np.ones((3, 3, 8, 4), np.float32), 1)
      >>> reduce.shape, expand.shape, bool(np.allclose(join("channel", reduce, expand), 1.0))
      ((3, 3, 8, 1), (1, 1, 1, 4), True)
    """
    reduce, expand = _split_matrix(unfold(form, kernel), rank)
    first, second = as_kernels(form, kernel.shape, reduce, expand)
    return np.ascontiguousarray(first, kernel.dtype), np.ascontiguousarray(second, kernel.dtype)


def as_kernels(form: Form, shape: Sequence[int], reduce: Array, expand: Array) -> tuple[Array, Array]:
    """Two factors of the unfolded matrix, laid out as kernels.

    Args:
      shape: of the whole kernel.
      reduce, expand: [rows, r] and [r, columns], whose product is an `unfold`ed kernel.

    Example:
      >>> [part.shape for part in as_kernels("spatial", (3, 5, 2, 4), np.zeros((6, 7)), np.zeros((7, 20)))]
      [(3, 1, 2, 7), (1, 5, 7, 4)]
    """
    rank = reduce.shape[-1]
    first, second = factor_shapes(form, shape, rank)
    if form in ("spatial", "across"):  # rank, side, outputs → side, rank, outputs
        expand = expand.reshape(rank, -1, shape[-1]).transpose(1, 0, 2)
    return reduce.reshape(first), expand.reshape(second)


def split_dense(kernel: Array, rank: int) -> tuple[Array, Array]:
    """`split` of a Dense kernel: (in, out) → (in, rank), (rank, out).

    Example:
      >>> reduce, expand = split_dense(np.array([[2.0, 0.0], [0.0, 1.0]]), 1)
      >>> np.round(reduce @ expand, 12).tolist()
      [[2.0, 0.0], [0.0, 0.0]]
    """
    return split("dense", kernel, rank)


def split_pointwise(kernel: Array, rank: int) -> tuple[Array, Array]:
    """`split` of a 1×1 kernel: (1, 1, ci, co) → (1, 1, ci, rank), (1, 1, rank, co); (1, ci, co) likewise.

    Example:
      >>> [factor.shape for factor in split_pointwise(np.ones((1, 1, 8, 6)), 2)]
      [(1, 1, 8, 2), (1, 1, 2, 6)]
    """
    return split("pointwise", kernel, rank)


def split_conv1d(kernel: Array, rank: int) -> tuple[Array, Array]:
    """`split` of a Conv1D kernel: (k, ci, co) → (k, ci, rank), (1, rank, co).

    Example:
      >>> [factor.shape for factor in split_conv1d(np.ones((5, 8, 6)), 2)]
      [(5, 8, 2), (1, 2, 6)]
    """
    return split("conv1d", kernel, rank)


def split_channel(kernel: Array, rank: int) -> tuple[Array, Array]:
    """`split` of a Conv2D kernel by channels: (kh, kw, ci, co) → (kh, kw, ci, rank), (1, 1, rank, co).

    Example:
      >>> [factor.shape for factor in split_channel(np.ones((3, 3, 8, 6)), 2)]
      [(3, 3, 8, 2), (1, 1, 2, 6)]
    """
    return split("channel", kernel, rank)


def split_spatial(kernel: Array, rank: int) -> tuple[Array, Array]:
    """`split` of a Conv2D kernel by space: (kh, kw, ci, co) → (kh, 1, ci, rank), (1, kw, rank, co).

    Example:
      >>> [factor.shape for factor in split_spatial(np.ones((3, 5, 8, 6)), 2)]
      [(3, 1, 8, 2), (1, 5, 2, 6)]
    """
    return split("spatial", kernel, rank)


def join(form: Form, reduce: Array, expand: Array) -> Array:
    """The kernel that two factors stand for: the inverse of `split` at full rank. Float64.

    Example:
      >>> join("dense", np.array([[1.0], [2.0]]), np.array([[3.0, 4.0]])).tolist()
      [[3.0, 4.0], [6.0, 8.0]]
    """
    first, second = np.asarray(reduce, np.float64), np.asarray(expand, np.float64)
    if form == "spatial":
        joined: Array = np.einsum("hir,wro->hwio", first[:, 0], second[0])
    elif form == "across":
        joined = np.einsum("wir,hro->hwio", first[0], second[:, 0])
    else:
        joined = first @ second.reshape(second.shape[-2:])
    return joined


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


def _split_matrix(matrix: Array, rank: int) -> tuple[Array, Array]:
    """Best product (rows, rank) · (rank, columns): a projection on eigenvectors of the smaller Gram matrix.

    The projection is orthogonal to 1e-15 whatever the accuracy of the small eigenvalues, so full rank returns
    the matrix itself; and it costs a fraction of a whole SVD of a tall matrix.
    """
    limit = min(matrix.shape)
    if not 1 <= rank <= limit:
        raise BadInputError(
            f"rank {rank} of a {matrix.shape[0]} × {matrix.shape[1]} matrix: expected 1 … {limit}"
        )
    if matrix.shape[0] < matrix.shape[1]:
        expand, reduce = _split_matrix(matrix.T, rank)
        return reduce.T, expand.T
    _, vectors = np.linalg.eigh(matrix.T @ matrix)
    leading = vectors[:, ::-1][:, :rank]
    # Eigenvectors have no sign of their own: the largest entry is made positive, so that results repeat.
    signs = np.sign(leading[np.abs(leading).argmax(axis=0), np.arange(rank)])
    leading = leading * np.where(signs == 0, 1.0, signs)
    scaled = matrix @ leading
    singular = np.linalg.norm(scaled, axis=0)
    root = np.sqrt(singular)
    return np.divide(scaled, root, out=np.zeros_like(scaled), where=root > 0), (leading * root).T
