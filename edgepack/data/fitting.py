"""Whether values fit the model's input: shape, dtype, and no NaN on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.data.dataset import Affine
from edgepack.records import TensorSpec

Indices = npt.NDArray[np.int64]


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


def stored_dtype(title: str, dtype: np.dtype[Any], spec: TensorSpec) -> np.dtype[Any]:
    """How values are kept on disk: float64 as float32, ids as the model's integer, all else as it is.

    Raises:
      DataError: text where numbers are needed.
    """
    if dtype.kind not in "biuf":
        raise errors.DataError(f"{title}: holds {dtype}; input {spec.name!r} takes numbers ({spec.dtype})")
    wanted = np.dtype(spec.dtype)
    if wanted.kind in "biu":
        return wanted
    if dtype.kind == "f" and dtype.itemsize > 4:
        return np.dtype(np.float32)
    return dtype.newbyteorder("=")


def fit_values(
    title: str, values: npt.NDArray[Any], dtype: np.dtype[Any], *, rows: Indices
) -> npt.NDArray[Any]:
    """`values` as `dtype`, after proving that nothing is lost but float64's last digits.

    Args:
      title: how messages call the array.
      values: consecutive samples.
      dtype: what is stored (`stored_dtype`).
      rows: their indices in the source, for messages.

    Raises:
      DataError: NaN or infinity, a value out of range, or a fraction where integers are needed.
    """
    check_finite(title, values, rows=rows)
    if dtype == values.dtype:
        return values
    if dtype.kind == "b":
        _refuse(title, values, (values == 0) | (values == 1), "is neither 0 nor 1", rows)
    elif dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        if values.dtype.kind == "f":
            _refuse(
                title,
                values,
                values == np.floor(values),
                f"is not a whole number; the model takes {dtype}",
                rows,
            )
        inside = (values >= bounds.min) & (values <= bounds.max)
        _refuse(title, values, inside, f"does not fit {dtype} ({bounds.min} … {bounds.max})", rows)
    else:
        limit = np.finfo(np.float32).max
        _refuse(title, values, np.abs(values) <= limit, "does not fit float32", rows)
    return values.astype(dtype)


def check_finite(title: str, values: npt.NDArray[Any], *, rows: Indices) -> None:
    """Raises DataError naming the first row that holds NaN or infinity."""
    if values.dtype.kind == "f":
        _refuse(title, values, np.isfinite(values), "is not a finite number", rows)


def check_scaled(title: str, values: npt.NDArray[Any], affine: Affine) -> None:
    """Raises DataError where scaling leaves the range of float32."""
    if values.dtype.kind == "f" and not affine.is_identity and values.size:
        peak = float(np.abs(values).max())
        scaled = peak * float(np.abs(affine.scale).max()) + float(np.abs(affine.offset).max())
        if scaled > float(np.finfo(np.float32).max):
            raise errors.DataError(f"{title}: values up to {peak:g} overflow float32 after [preprocess]")


def _refuse(
    title: str, values: npt.NDArray[Any], good: npt.NDArray[np.bool_], why: str, rows: Indices
) -> None:
    if good.all():
        return
    row = int(np.flatnonzero(~good.reshape(len(good), -1).all(axis=1))[0])
    example = np.asarray(values[row])[~np.asarray(good[row])].ravel()[0]
    raise errors.DataError(f"{title}: row {rows[row]}: {example} {why}")


def _matches(got: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(got) == len(wanted) and all(w is None or g == w for g, w in zip(got, wanted, strict=True))


def _written(shape: Sequence[object]) -> str:
    return "(" + ", ".join(str(length) for length in shape) + ("," if len(shape) == 1 else "") + ")"
