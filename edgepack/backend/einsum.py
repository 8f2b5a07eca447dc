"""Einstein sums as transposes, reshapes and one matrix product.

``tf.einsum`` itself cannot be written into a Keras 2 file (its tensors get lost on saving), and int8 conversion does
better with plain matrix products anyway.
"""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from edgepack import errors
from edgepack.backend.emit import Emitter


def emit_einsum(emit: Emitter, subscripts: str, operands: list[Any]) -> Any:
    """Applies an Einstein sum of one or two operands, without ``...`` and without repeated letters in an operand.

    Raises:
      ModelError: another form of sum.
    """
    inputs, _, wanted = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if len(terms) != len(operands) or len(terms) > 2 or "." in subscripts or "->" not in subscripts or any(
        len(set(term)) != len(term) for term in terms
    ):  # fmt: skip
        raise errors.ModelError(
            f"einsum {subscripts!r} is not rebuilt; expected one or two operands, an output after ->, no ... and no "
            "letter twice in an operand"
        )
    others = [set(wanted).union(*(terms[:place] + terms[place + 1 :])) for place in range(len(terms))]
    reduced = [
        _sum_out(emit, operand, term, other)
        for operand, term, other in zip(operands, terms, others, strict=True)
    ]
    if len(reduced) == 1:
        tensor, term = reduced[0]
        return _transposed(emit, tensor, term, wanted)
    return _product(emit, reduced[0], reduced[1], wanted)


def _sum_out(emit: Emitter, operand: Any, term: str, other: set[str]) -> tuple[Any, str]:
    gone = [place for place, letter in enumerate(term) if letter not in other]
    if not gone:
        return operand, term
    summed = emit.op(tf.math.reduce_sum, operand, axis=gone)
    return summed, "".join(letter for letter in term if letter in other)


def _transposed(emit: Emitter, tensor: Any, term: str, wanted: str) -> Any:
    if term == wanted:
        return tensor
    return emit.op(tf.transpose, tensor, perm=[term.index(letter) for letter in wanted])


def _product(emit: Emitter, first: tuple[Any, str], second: tuple[Any, str], wanted: str) -> Any:
    (left, left_term), (right, right_term) = first, second
    sizes = {
        letter: size
        for tensor, term in (first, second)
        for letter, size in zip(term, tensor.shape, strict=True)
    }
    batch = [letter for letter in left_term if letter in right_term and letter in wanted]
    summed = [letter for letter in left_term if letter in right_term and letter not in wanted]
    rows = [letter for letter in left_term if letter not in right_term]
    columns = [letter for letter in right_term if letter not in left_term]
    left = _grouped(emit, left, left_term, [batch, rows, summed], sizes)
    right = _grouped(emit, right, right_term, [batch, summed, columns], sizes)
    product = emit.op(tf.linalg.matmul, left, right)
    if len(rows) != 1 or len(columns) != 1:
        product = _reshaped(emit, product, [sizes[letter] for letter in [*batch, *rows, *columns]])
    return _transposed(emit, product, "".join([*batch, *rows, *columns]), wanted)


def _grouped(emit: Emitter, tensor: Any, term: str, groups: list[list[str]], sizes: dict[str, Any]) -> Any:
    """The operand as a batch of matrices: batch axes as they are, each other group of letters as one axis."""
    batch, *matrix = groups
    order = [*batch, *matrix[0], *matrix[1]]
    tensor = _transposed(emit, tensor, term, "".join(order))
    if all(len(group) == 1 for group in matrix):
        return tensor
    merged = []
    for group in matrix:
        known = [sizes[letter] for letter in group]
        merged.append(None if None in known else math.prod(known))
    return _reshaped(emit, tensor, [*(sizes[letter] for letter in batch), *merged])


def _reshaped(emit: Emitter, tensor: Any, shape: list[int | None]) -> Any:
    if shape.count(None) > 1:
        raise errors.ModelError(
            "an einsum over two axes of unknown length is not rebuilt; give the input a fixed length"
        )
    return emit.op(tf.reshape, tensor, [-1 if size is None else size for size in shape])
