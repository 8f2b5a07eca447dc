"""Pictures of a folder, decoded to rows of one shape."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from edgepack import errors
from edgepack.data.folders import PictureFolder
from edgepack.data.pixels import shaped
from edgepack.data.preprocess import Geometry
from edgepack.records import TensorSpec

FORMATS: Final = ("BMP", "JPEG", "PNG")
"""Only these decoders of Pillow are ever run."""
MAXIMUM_PIXELS: Final = 100_000_000
DECODING_THREADS: Final = 4


@dataclass(frozen=True, kw_only=True)
class PictureRows:
    """Pictures as rows of one shape, decoded when asked for."""

    folder: PictureFolder
    geometry: Geometry
    channels: int | None
    """3, 1, or None for pictures without a channel axis."""
    sized_by: int
    """Row whose size all must have where none is declared."""

    @property
    def title(self) -> str:
        return self.folder.title

    @property
    def count(self) -> int:
        return len(self.folder.files)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one row: as resized, else as the first picture is."""
        height, width = self.geometry.size or _size(self.folder.files[self.sized_by])
        return (height, width) if self.channels is None else (height, width, self.channels)

    def read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Pictures `rows`, [len(rows), *shape] uint8.

        Raises:
          DataError: a picture that is damaged, too large, of another size, or in colour where grey is needed.
        """
        shape = self.shape
        with _without_warnings(), ThreadPoolExecutor(DECODING_THREADS) as pool:
            pictures = list(pool.map(lambda row: self._decoded(self.folder.files[row], shape), rows))
        return np.stack(pictures)

    def _decoded(self, path: Path, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        title = f"{path.parent.name}/{path.name}"
        picture = decode(path, title, gray=self.channels != 3, may_convert=self.geometry.grayscale)
        array = shaped(picture if self.channels is not None else picture[:, :, 0], self.geometry, title)
        if array.shape != shape:
            raise errors.DataError(
                f"{title}: is {array.shape[0]} × {array.shape[1]} (height × width), others are "
                f"{shape[0]} × {shape[1]}; set [preprocess] resize = [height, width]"
            )
        return array


def picture_rows(
    folder: PictureFolder, geometry: Geometry, spec: TensorSpec, *, first_row: int
) -> PictureRows:
    """Pictures with as many channels as the model's input takes.

    Raises:
      DataError: the input does not take pictures.
    """
    wanted = spec.shape[1:]
    channels = wanted[2] if len(wanted) == 3 else None
    if len(wanted) not in (2, 3) or channels not in (None, 1, 3):
        raise errors.DataError(
            f"{folder.title}: holds pictures; the model's input {spec.name!r} takes shape {wanted}, "
            "expected (height, width, 3), (height, width, 1) or (height, width)"
        )
    if geometry.grayscale and channels == 3:
        raise errors.DataError(f"[preprocess] grayscale = true makes 1 channel; input {spec.name!r} takes 3")
    if len(wanted) == 3 and channels is None:
        channels = 1 if geometry.grayscale else 3
    return PictureRows(folder=folder, geometry=geometry, channels=channels, sized_by=first_row)


def decode(path: Path, title: str, *, gray: bool, may_convert: bool) -> npt.NDArray[Any]:
    """One picture as uint8 [h, w, 3], or [h, w, 1] where `gray`.

    Transparency is dropped and the camera's orientation flag ignored, as training pipelines do.

    Raises:
      DataError: damaged, too large, 16 bits deep, or in colour while `may_convert` is false.
    """
    with _opened(path, title) as image:
        if image.mode.startswith(("I", "F")):
            raise errors.DataError(f"{title}: has more than 8 bits per channel; give such data as .npz")
        if gray and not may_convert and image.mode not in ("L", "1", "LA"):
            raise errors.DataError(
                f"{title}: is in colour, the model takes one channel: set [preprocess] grayscale = true"
            )
        array = np.asarray(image.convert("L" if gray else "RGB"))
    return array[:, :, None] if array.ndim == 2 else array


def _size(path: Path) -> tuple[int, int]:
    with _without_warnings(), _opened(path, f"{path.parent.name}/{path.name}") as image:
        return image.height, image.width


@contextmanager
def _opened(path: Path, title: str) -> Iterator[Image.Image]:
    """A picture whose header is read, within the limit; what its decoder raises becomes a DataError."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > MAXIMUM_PIXELS:
                raise errors.DataError(f"{title}: has {image.width} × {image.height} pixels, over the limit")
            yield image
    except Image.DecompressionBombError as error:
        raise errors.DataError(f"{title}: is over the limit of pixels: {error}") from error
    except (OSError, SyntaxError, ValueError) as error:  # Pillow's decoders raise all three on damaged files
        raise errors.DataError(f"{title}: is not a readable picture: {error}") from error


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Pillow warns of large pictures (the limit is ours) and of transparent palettes (transparency is dropped).

    Filters are global, so they must not be set in a thread.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
