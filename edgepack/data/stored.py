"""One array of a source before it is read: what its header declares, and how to get it onto disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgepack import errors

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MAXIMUM_ARRAY_BYTES: Final = 64 * 10**9
"""No array may declare more."""
SUSPICIOUS_BYTES: Final = 10**9
SUSPICIOUS_RATIO: Final = 200
"""Real data rarely deflate 200:1; an array that declares a gigabyte and does is refused as a bomb."""
MAXIMUM_DIMENSIONS: Final = 16
CHUNK_BYTES: Final = 1 << 24
CHARACTER_BYTES: Final = 4
"""The number in the code of text counts characters."""


@dataclass(frozen=True, kw_only=True)
class StoredArray:
    """An array that is known by its header and not read yet.

    Attributes:
      title: how messages call it, such as "calib.npz, array 'x'".
      shape: first axis samples.
      code: of the elements, as ``numpy.dtype.str`` has it ("<f4"): numbers, or text where labels may be text.
      place: writes the array as .npy to the path it is given, or returns where it lies already.
    """

    title: str
    shape: tuple[int, ...]
    code: str
    place: Callable[[Path], Path]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the elements."""
        import numpy as np  # whoever only checks headers does without

        return np.dtype(self.code)


def declared_bytes(shape: Iterable[int], code: str) -> int:
    """Bytes that a header promises, in exact integers (numpy's would wrap around)."""
    size = int(code[2:]) * (CHARACTER_BYTES if code[1] == "U" else 1)
    for length in shape:
        size *= int(length)
    return size


def checked_code(title: str, dtype: np.dtype[Any]) -> str:
    """The code of a dtype (`StoredArray.code`).

    Raises:
      DataError: neither numbers nor text.
    """
    if dtype.hasobject:
        raise errors.DataError(
            f"{title}: holds pickled Python objects, which could run code and are never loaded; "
            "save a plain numeric array (rows of equal length)"
        )
    if dtype.kind not in "biufU" or dtype.names is not None:
        raise errors.DataError(f"{title}: has dtype {dtype}; expected integers or floats")
    return dtype.str


def check_declared(title: str, shape: tuple[int, ...], code: str, *, packed_bytes: int | None = None) -> None:
    """Refuses what must not be read: absurd shapes, sizes over the limits, decompression bombs.

    Args:
      title: how messages call the array.
      shape, code: as the header declares.
      packed_bytes: bytes in the compressed file, None where it is not compressed.

    Raises:
      DataError: the array is refused; the message says why.
    """
    if not shape:
        raise errors.DataError(
            f"{title}: is a single number; expected an array whose first axis counts the samples"
        )
    if len(shape) > MAXIMUM_DIMENSIONS or any(length < 0 for length in shape):
        raise errors.DataError(f"{title}: declares the impossible shape {shape}")
    size = declared_bytes(shape, code)
    if size > MAXIMUM_ARRAY_BYTES:
        import numpy as np

        raise errors.DataError(
            f"{title}: declares {size / 1e9:,.1f} GB (shape {shape}, {np.dtype(code)}); "
            f"the limit is {MAXIMUM_ARRAY_BYTES / 1e9:,.0f} GB"
        )
    if (
        packed_bytes is not None
        and size > SUSPICIOUS_BYTES
        and size > SUSPICIOUS_RATIO * max(1, packed_bytes)
    ):
        raise errors.DataError(
            f"{title}: {packed_bytes:,} bytes unpack to {size:,}: refused as a decompression bomb; "
            "if the data are real, save them uncompressed (np.savez, not np.savez_compressed)"
        )


def write_npy(
    target: Path, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: Iterable[npt.NDArray[Any]]
) -> None:
    """Writes consecutive rows as one .npy, atomically: the target appears complete or not at all.

    Plain writes, not a memory map: on a full disk a map kills the process, a write raises.

    Raises:
      StorageError: no space, no permission.
    """
    import numpy as np

    partial = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}  # type: ignore[no-untyped-call]
            np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
            for chunk in chunks:
                file.write(np.ascontiguousarray(chunk, dtype).data)
        partial.replace(target)
    except OSError as error:
        raise errors.StorageError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)


def check_room(directory: Path, size_bytes: int, title: str) -> None:
    """Fails early where the disk cannot hold what is about to be unpacked."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(directory).free
    except OSError as error:
        raise errors.StorageError(f"{directory}: cannot be used: {error.strerror or error}") from error
    if size_bytes > free:
        raise errors.StorageError(
            f"{directory}: {title} needs {size_bytes:,} bytes, {free:,} are free; "
            "make room or use another directory"
        )
