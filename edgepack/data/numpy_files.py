""".npz and .npy: read by header first, values only after the header has passed."""

from __future__ import annotations

import errno
import shutil
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from edgepack import errors
from edgepack.data.npy_header import read_npy_header
from edgepack.data.stored import CHUNK_BYTES, StoredArray, check_declared, check_room, declared_bytes

MAXIMUM_MEMBERS: Final = 10_000
BROKEN_ZIP: Final = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What zipfile raises on damaged, truncated, encrypted or exotic archives."""


def open_npy(path: Path) -> StoredArray:
    """The array of a .npy file; used where it lies, never copied.

    Raises:
      DataError: not a .npy, truncated, or refused by `check_declared`.
    """
    title = path.name
    try:
        with path.open("rb") as file:
            shape, code = read_npy_header(file, title)
            header_bytes = file.tell()
        actual = path.stat().st_size - header_bytes
    except OSError as error:
        raise unreadable(path, error) from error
    check_declared(title, shape, code)
    expected = declared_bytes(shape, code)
    if actual < expected:
        raise errors.DataError(f"{title}: is truncated: {expected:,} bytes declared, {actual:,} there")
    return StoredArray(title=title, shape=shape, code=code, place=lambda target: path)


def open_npz(path: Path) -> dict[str, Callable[[], StoredArray]]:
    """The arrays of a .npz by name, each checked only when asked for: one that nobody needs may be unusable.

    Raises:
      DataError: not a zip archive, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
    except OSError as error:
        raise unreadable(path, error) from error
    except BROKEN_ZIP as error:
        raise errors.DataError(f"{path.name}: is no readable .npz: {error}; save it with np.savez") from error
    if len(members) > MAXIMUM_MEMBERS:
        raise errors.DataError(f"{path.name}: {len(members):,} arrays; the limit is {MAXIMUM_MEMBERS:,}")
    if not members:
        raise errors.DataError(f"{path.name}: holds no arrays; save it with np.savez(path, x=…, y=…)")
    names = [info.filename for info in members]
    if len(set(names)) < len(names):
        raise errors.DataError(f"{path.name}: holds two arrays of one name; save it again with np.savez")
    return {info.filename[: -len(".npy")]: partial(_open_member, path, info) for info in members}


def _open_member(path: Path, info: zipfile.ZipInfo) -> StoredArray:
    title = f"{path.name}, array {info.filename[: -len('.npy')]!r}"
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as file:
            shape, code = read_npy_header(file, title)
            header_bytes = file.tell()
    except OSError as error:
        raise unreadable(path, error) from error
    except BROKEN_ZIP as error:
        raise errors.DataError(f"{title}: is damaged: {error}") from error
    check_declared(title, shape, code, packed_bytes=info.compress_size)
    expected = header_bytes + declared_bytes(shape, code)
    if info.file_size != expected:
        raise errors.DataError(
            f"{title}: is damaged: its header declares {expected:,} bytes, the archive {info.file_size:,}"
        )
    return StoredArray(title=title, shape=shape, code=code, place=partial(_extract, path, info, title))


def _extract(path: Path, info: zipfile.ZipInfo, title: str, target: Path) -> Path:
    check_room(target.parent, info.file_size, title)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(info) as file, target.open("wb") as unpacked:
            shutil.copyfileobj(file, unpacked, CHUNK_BYTES)  # reads to the end, where zipfile checks the CRC
    except BROKEN_ZIP as error:
        target.unlink(missing_ok=True)
        raise errors.DataError(f"{title}: is damaged: {error}") from error
    except OSError as error:
        target.unlink(missing_ok=True)
        if error.errno in (errno.EINVAL, None):
            raise unreadable(path, error) from error
        raise errors.StorageError(f"{target}: cannot be written: {error.strerror or error}") from error
    return target


def unreadable(path: Path, error: OSError) -> errors.EdgepackError:
    """The right error for a file that cannot be opened: missing is the user's, the rest the disk's."""
    if isinstance(error, FileNotFoundError):
        return errors.DataError(f"{path}: no such file; paths in a recipe are relative to the recipe")
    if isinstance(error, IsADirectoryError):
        return errors.DataError(f"{path}: is a folder; expected a file")
    if error.errno in (errno.EINVAL, None):  # a damaged directory made zipfile seek to nowhere
        return errors.DataError(f"{path}: is damaged: {error.strerror or error}")
    return errors.StorageError(f"{path}: cannot be read: {error.strerror or error}")
