"""Files that are absent, the old one or complete, whatever happens while they are written."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edgepack import errors

TEMPORARY_PREFIX = ".edgepack-"
TEMPORARY_SUFFIX = ".tmp"
STALE_AFTER_S = 60.0
OUT_OF_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def write_atomically(target: Path, content: bytes) -> None:
    """Writes `content` beside `target`, syncs it to the disk and renames it into place.

    After a kill, a power cut or a full disk, `target` is absent, the old file or the complete new one.
    Temporary files that killed writers left in the folder are removed first. Permissions follow the umask.

    Raises:
      StorageError: no space (says how many bytes are needed), no permission, a device error.
    """
    with _beside(target, content, mode=0o666) as temporary:
        temporary.replace(target)


def write_new(target: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Like `write_atomically`, but never over a file that is there; `mode` is lowered by the umask.

    Raises:
      StorageError: `target` exists, or as `write_atomically`.
    """
    with _beside(target, content, mode=mode) as temporary:
        os.link(temporary, target)  # unlike a rename, fails where the name is taken
        temporary.unlink()


@contextmanager
def _beside(target: Path, content: bytes, *, mode: int) -> Iterator[Path]:
    """A synced temporary file with `content`; the block gives it its name."""
    with storage_errors(target, needed_bytes=len(content)):
        sweep(target.parent)
        temporary = target.parent / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
        # mkstemp would make the file 0600 whatever the umask says.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(descriptor, "wb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)  # tells `sweep` that the writer lives
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                yield temporary
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(target.parent)


def is_about_storage(error: BaseException) -> bool:
    """Whether an error that some library let through tells of a full or forbidden disk."""
    return isinstance(error, OSError) and error.errno in (*OUT_OF_SPACE, *FORBIDDEN)


def sweep(directory: Path) -> int:
    """Removes temporary files of writers that died; returns how many."""
    removed = 0
    for path in directory.glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}"):
        with suppress(OSError), path.open("rb") as file:
            if time.time() - path.stat().st_mtime < STALE_AFTER_S:
                continue  # may be between its creation and its lock
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
            removed += 1
    return removed


def sync_directory(directory: Path) -> None:
    """Makes names created or renamed in `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def storage_errors(path: Path, *, needed_bytes: int | None = None) -> Iterator[None]:
    """Turns an `OSError` about `path` into a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in OUT_OF_SPACE:
            need = f"; {needed_bytes:,} bytes are needed" if needed_bytes is not None else ""
            raise errors.StorageError(
                f"{path}: {reason}{need}; free some space or choose another folder"
            ) from error
        if error.errno in FORBIDDEN:
            raise errors.StorageError(
                f"{path}: {reason}; choose a folder that you may write to, or mend its permissions"
            ) from error
        raise errors.StorageError(f"{path}: {reason}") from error
