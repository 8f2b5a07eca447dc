"""Whether values fit the model's input: the type they are kept as, and no NaN on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.data.dataset import Affine
from edgepack.data.fitting import check_numeric
from edgepack.records import TensorSpec

Indices = npt.NDArray[np.int64]


def stored_dtype(title: str, dtype: np.dtype[Any], spec: TensorSpec) -> np.dtype[Any]:
    """How values are kept on disk: float64 as float32, ids as the model's integer, all else as it is.

    Raises:
      DataError: text where numbers are needed.
    """
    check_numeric(title, dtype.str, spec)
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
