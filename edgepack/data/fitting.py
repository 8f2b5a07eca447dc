"""Whether what a header declares fits the model's input: the shape of a sample, and numbers."""

from __future__ import annotations

from collections.abc import Sequence

from edgepack import errors
from edgepack.records import TensorSpec


def fit_row_shape(title: str, row: Sequence[int], spec: TensorSpec) -> tuple[tuple[int, ...], str | None]:
    """Shape of one sample as the model takes it, and a note where an axis had to be added.

    Args:
      title: how messages call the array.
      row: shape of one stored sample, without the batch axis.
      spec: the model's input, batch axis first; None fits every length.

    Raises:
      DataError: the shapes differ by more than a missing channel axis of 1.

    Example:
      >>> fit_row_shape("x", (28, 28), TensorSpec(name="image", shape=(None, 28, 28, 1), dtype="float32"))
      ((28, 28, 1), "x: an axis of 1 was added at the end: (28, 28) became (28, 28, 1) for input 'image'")
    """
    wanted, got = spec.shape[1:], tuple(row)
    if _matches(got, wanted):
        return got, None
    if wanted and wanted[-1] in (1, None) and _matches((*got, 1), wanted):
        note = f"{title}: an axis of 1 was added at the end: {got} became {(*got, 1)} for input {spec.name!r}"
        return (*got, 1), note
    hint = ""
    if len(got) == len(wanted) and sorted(got) == sorted(length or 0 for length in wanted):
        hint = "; the same axes in another order: transpose the data"
    elif len(got) == len(wanted) == 3 and got[-1] == wanted[-1]:
        hint = "; pictures of another size: set [preprocess] resize = [height, width]"
    elif len(got) == len(wanted) + 1 and got[-1] == 1:
        hint = "; remove the last axis"
    elif len(got) == len(wanted) == 3 and (got[-1], wanted[-1]) == (3, 1):
        hint = "; the model takes grey pictures: set [preprocess] grayscale = true"
    shown = tuple("any" if length is None else length for length in wanted)
    raise errors.DataError(
        f"{title}: one sample has shape {got}; the model's input {spec.name!r} takes {_written(shown)}{hint}"
    )


def check_numeric(title: str, code: str, spec: TensorSpec) -> None:
    """Raises DataError where an array holds text; its element type is given as `StoredArray.code`."""
    if code[1] not in "biuf":
        raise errors.DataError(f"{title}: holds {code}; input {spec.name!r} takes numbers ({spec.dtype})")


def _matches(got: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(got) == len(wanted) and all(w is None or g == w for g, w in zip(got, wanted, strict=True))


def _written(shape: Sequence[object]) -> str:
    return "(" + ", ".join(str(length) for length in shape) + ("," if len(shape) == 1 else "") + ")"
