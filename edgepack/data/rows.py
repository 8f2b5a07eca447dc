"""Rows of one input, whatever they are stored as, after their geometry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgepack.data.preprocess import Geometry
from edgepack.data.stored import CHUNK_BYTES

Indices = npt.NDArray[np.int64]


class Rows(Protocol):
    """What `materialize` reads from: `ArrayRows`, or `pictures.PictureRows`."""

    @property
    def title(self) -> str:
        """How messages call it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what `read` returns."""

    def read(self, rows: Indices) -> npt.NDArray[Any]:
        """Rows by index, [len(rows), *shape]."""


@dataclass(frozen=True, kw_only=True)
class ArrayRows:
    """Rows of a mapped array; pictures among them are resized row by row."""

    title: str
    values: npt.NDArray[Any]
    geometry: Geometry

    @property
    def shape(self) -> tuple[int, ...]:
        return self.geometry.row_shape(self.values.shape[1:], self.title)

    @property
    def dtype(self) -> np.dtype[Any]:
        stored = self.values.dtype
        return stored if not self.geometry.changes_pixels or stored == np.uint8 else np.dtype(np.float32)

    def read(self, rows: Indices) -> npt.NDArray[Any]:
        start, stop = int(rows[0]), int(rows[-1]) + 1
        consecutive = stop - start == len(rows) and bool((np.diff(rows) == 1).all())
        values = self.values[start:stop] if consecutive else self.values[rows]
        if not self.geometry.changes_pixels:
            return values
        from edgepack.data.pixels import shaped  # Pillow is only paid for by pictures

        pictures = [
            shaped(picture, self.geometry, f"{self.title}, row {row}")
            for row, picture in zip(rows, values, strict=True)
        ]
        return np.stack(pictures).astype(self.dtype, copy=False)


def chunks(rows: Indices, row_bytes: int) -> Iterator[Indices]:
    """The rows, some megabytes at a time."""
    step = max(1, CHUNK_BYTES // max(1, row_bytes))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
