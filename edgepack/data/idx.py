"""IDX, the format of MNIST and its kin: big-endian header, then values; plain or gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from edgepack import errors
from edgepack.data.numpy_files import unreadable
from edgepack.data.stored import CHUNK_BYTES, StoredArray, check_declared, check_room, write_npy

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CODES: Final = {0x08: "u1", 0x09: "i1", 0x0B: "i2", 0x0C: "i4", 0x0D: "f4", 0x0E: "f8"}
"""Third byte of the magic number. Source: the description on the MNIST page (LeCun, Cortes, Burges)."""
GZIP_MAGIC: Final = b"\x1f\x8b"


def open_idx(path: Path) -> StoredArray:
    """The array of an IDX file, its header checked.

    Raises:
      DataError: not IDX, truncated, longer than declared, or refused by `check_declared`.
    """
    try:
        packed_bytes = path.stat().st_size if _is_gzip(path) else None
        with _open(path) as file:
            shape, element = _read_header(file, path.name)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error
    check_declared(path.name, shape, f">{element}", packed_bytes=packed_bytes)
    return StoredArray(
        title=path.name, shape=shape, code=f"={element}", place=partial(_place, path, shape, element)
    )


def _read_header(file: IO[bytes], title: str) -> tuple[tuple[int, ...], str]:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in CODES or magic[3] == 0:
        raise errors.DataError(
            f"{title}: is not an IDX file (it starts with {magic.hex(' ') or 'nothing'}); expected 00 00, "
            "a type, the number of axes; use .npz or .npy for other data"
        )
    lengths = file.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise errors.DataError(f"{title}: is truncated within its header")
    return tuple(struct.unpack(f">{magic[3]}I", lengths)), CODES[magic[2]]


def _place(path: Path, shape: tuple[int, ...], element: str, target: Path) -> Path:
    import numpy as np

    stored = np.dtype(f">{element}")
    expected = math.prod(shape) * stored.itemsize
    check_room(target.parent, expected, path.name)

    raw = target.with_suffix(".bytes.npy")
    write_npy(raw, (expected,), np.dtype(np.uint8), _values(path, expected))
    try:
        values = np.load(raw, mmap_mode="r").view(stored).reshape(shape)
        write_npy(target, shape, stored.newbyteorder("="), values)
    finally:
        raw.unlink(missing_ok=True)
    return target


def _values(path: Path, expected: int) -> Iterator[npt.NDArray[np.uint8]]:
    """The bytes after the header, exactly as many as it declares."""
    import numpy as np

    left = expected
    try:
        with _open(path) as file:
            _read_header(file, path.name)
            while left:
                data = file.read(min(CHUNK_BYTES, left))
                if not data:
                    raise errors.DataError(
                        f"{path.name}: is truncated: {expected:,} bytes declared, {expected - left:,} there"
                    )
                left -= len(data)
                yield np.frombuffer(data, np.uint8)
            if file.read(1):  # reads to the end, where gzip checks the CRC
                raise errors.DataError(f"{path.name}: goes on after the {expected:,} bytes that it declares")
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, error) from error


def _open(path: Path) -> IO[bytes]:
    return cast("IO[bytes]", gzip.open(path, "rb")) if _is_gzip(path) else path.open("rb")


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def _damaged(path: Path, error: Exception) -> errors.EdgepackError:
    if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
        return unreadable(path, error)
    return errors.DataError(f"{path.name}: is damaged: {error}")
