"""A folder of files that is absent, the old one or complete, and the same for the same contents."""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from edgepack import errors
from edgepack.durable import storage_errors, sync_directory

RENAME_EXCHANGE: Final = 2
"""Linux, renameat2(2): two names change places in one step."""
MARKER: Final = ".edgepack-delivery"
"""Lies in every delivered folder: only such a folder may be replaced."""
WORKING_PREFIX: Final = ".edgepack-delivery-"


@dataclass(frozen=True, kw_only=True)
class File:
    """Contents of one file of a delivery."""

    content: bytes
    executable: bool = False


Tree = Mapping[str, File | bytes]
"""Path with "/" → contents."""


def write(tree: Tree, out: Path) -> None:
    """Writes the tree to the folder `out`; replaces a former delivery in one step.

    Raises:
      StorageError: disk, permissions, or `out` is something else than a former delivery.
    """
    needed = sum(len(_file(entry).content) for entry in tree.values())
    with storage_errors(out, needed_bytes=needed):
        out.parent.mkdir(parents=True, exist_ok=True)
        _require_replaceable(out)
        with _working_folder(out) as working:
            for name, entry in sorted(tree.items()):
                _put(working / _clean(name), _file(entry))
            _put(working / MARKER, File(content=b""))
            for folder in sorted({path.parent for path in working.rglob("*")}):
                sync_directory(folder)
            _exchange(working, out)
        sync_directory(out.parent)


def _file(entry: File | bytes) -> File:
    return entry if isinstance(entry, File) else File(content=entry)


def _clean(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or str(path) != name or name == MARKER:
        raise errors.EdgepackError(f"a delivery cannot hold a file named {name!r}")
    return name


def _require_replaceable(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise errors.StorageError(f"{out}: exists and is no folder; choose another --out")
    if out.is_dir() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise errors.StorageError(
            f"{out}: holds files that no delivery wrote; choose another --out, or empty the folder"
        )


@contextmanager
def _working_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out`, gone afterwards with whatever is in it then."""
    for left in out.parent.glob(f"{WORKING_PREFIX}{out.name}-*"):
        shutil.rmtree(left, ignore_errors=True)  # of a writer that was killed
    working = out.parent / f"{WORKING_PREFIX}{out.name}-{secrets.token_hex(6)}"
    working.mkdir()
    try:
        yield working
    finally:
        shutil.rmtree(working, ignore_errors=True)


def _put(path: Path, file: File) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777 if file.executable else 0o666)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(file.content)
        stream.flush()
        os.fsync(stream.fileno())


def _exchange(working: Path, out: Path) -> None:
    """`out` becomes what `working` is; what `out` was is in `working` afterwards."""
    if not out.exists():
        working.rename(out)
        return
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        at_cwd = -100
        if library.renameat2(at_cwd, os.fsencode(working), at_cwd, os.fsencode(out), RENAME_EXCHANGE) == 0:
            return
    # A file system without the exchange: for a moment there is no folder, but never half of one.
    aside = working.with_name(working.name + "-old")
    out.rename(aside)
    try:
        working.rename(out)
    except OSError:
        aside.rename(out)
        raise
    with suppress(OSError):
        shutil.rmtree(aside)
