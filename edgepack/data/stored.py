"""One array of a source before it is read: what its header declares, and how to get it onto disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors

MAXIMUM_ARRAY_BYTES: Final = 64 * 10**9
"""No array may declare more."""
SUSPICIOUS_BYTES: Final = 10**9
SUSPICIOUS_RATIO: Final = 200
"""Real data rarely deflate 200:1; an array that declares a gigabyte and does is refused as a bomb."""
MAXIMUM_DIMENSIONS: Final = 16
CHUNK_BYTES: Final = 1 << 24


@dataclass(frozen=True, kw_only=True)
class StoredArray:
    """An array that is known by its header and not read yet.

    Attributes:
      title: how messages call it, such as "calib.npz, array 'x'".
      shape: first axis samples.
      dtype: numeric; objects and text never get this far, except text where labels may be text.
      place: writes the array as .npy to the path it is given, or returns where it lies already.
    """

    title: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    place: Callable[[Path], Path]

    @property
    def size_bytes(self) -> int:
        """Bytes of the values."""
        return declared_bytes(self.shape, self.dtype)


def declared_bytes(shape: Iterable[int], dtype: np.dtype[Any]) -> int:
    """Bytes that a header promises, in exact integers (numpy's would wrap around)."""
    size = dtype.itemsize
    for length in shape:
        size *= int(length)
    return size


def check_declared(
    title: str, shape: tuple[int, ...], dtype: np.dtype[Any], *, packed_bytes: int | None = None
) -> None:
    """Refuses what must not be read: objects, absurd shapes, sizes over the limits, decompression bombs.

    Args:
      title: how messages call the array.
      shape, dtype: as the header declares.
      packed_bytes: bytes in the compressed file, None where it is not compressed.

    Raises:
      DataError: the array is refused; the message says why.
    """
    if dtype.hasobject:
        raise errors.DataError(
            f"{title}: holds pickled Python objects, which could run code and are never loaded; "
            "save a plain numeric array (rows of equal length)"
        )
    if dtype.kind not in "biufU" or dtype.names is not None:
        raise errors.DataError(f"{title}: has dtype {dtype}; expected integers or floats")
    if not shape:
        raise errors.DataError(
            f"{title}: is a single number; expected an array whose first axis counts the samples"
        )
    if len(shape) > MAXIMUM_DIMENSIONS or any(length < 0 for length in shape):
        raise errors.DataError(f"{title}: declares the impossible shape {shape}")
    size = declared_bytes(shape, dtype)
    if size > MAXIMUM_ARRAY_BYTES:
        raise errors.DataError(
            f"{title}: declares {size / 1e9:,.1f} GB (shape {shape}, {dtype}); "
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


def read_npy_header(file: IO[bytes], title: str) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Shape, dtype and Fortran order of a .npy stream, which is left at the first value.

    Raises:
      DataError: not a .npy header.
    """
    try:
        version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call]
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call]
        elif version in ((2, 0), (3, 0)):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)  # type: ignore[no-untyped-call]
        else:
            raise ValueError(f"unknown .npy version {version}")
    except OSError:
        raise
    except Exception as error:  # numpy's header parser lets through whatever hostile bytes provoke
        raise errors.DataError(f"{title}: is not a .npy array: {_first_line(error)}") from error
    return tuple(int(length) for length in shape), dtype, bool(fortran)


def write_npy(
    target: Path, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: Iterable[npt.NDArray[Any]]
) -> None:
    """Writes consecutive rows as one .npy, atomically: the target appears complete or not at all.

    Plain writes, not a memory map: on a full disk a map kills the process, a write raises.

    Raises:
      StorageError: no space, no permission.
    """
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


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
