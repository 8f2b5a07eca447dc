"""Temporary files of living processes, told from those of dead ones by a lock that the kernel frees."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path

OWNER_SUFFIX = ".alive"


class Scratch:
    """This process's folder under `parent`, on the store's own filesystem.

    Attributes:
      directory: the folder; it goes away with `close`, or by the next process's `sweep`.
    """

    def __init__(self, parent: Path) -> None:
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.directory = parent / name
        self._owner_file = parent / f"{name}{OWNER_SUFFIX}"
        # Locked under another name first: `sweep` must never see an owner file that nobody holds yet.
        unnamed = parent / f".{name}"
        self._owner: int | None = os.open(unnamed, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
        fcntl.flock(self._owner, fcntl.LOCK_EX)
        unnamed.replace(self._owner_file)
        self.directory.mkdir()

    def close(self) -> None:
        """Removes the folder."""
        if self._owner is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
            self._owner_file.unlink(missing_ok=True)
            os.close(self._owner)
            self._owner = None


def sweep(parent: Path) -> int:
    """Removes what dead processes left under `parent`; returns how many folders."""
    removed = 0
    for owner_file in parent.glob(f"*{OWNER_SUFFIX}"):
        with suppress(OSError), owner_file.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(owner_file.with_suffix(""), ignore_errors=True)
            owner_file.unlink()
            removed += 1
    for folder in parent.iterdir():  # a child that outlived its parent may have written once more
        if folder.is_dir() and not folder.with_name(folder.name + OWNER_SUFFIX).exists():
            shutil.rmtree(folder, ignore_errors=True)
    return removed


def oldest_start(parent: Path, *, except_for: Path) -> float:
    """When the oldest other living process opened the store, as seconds since the epoch; else now."""
    started = time.time()
    for owner_file in parent.glob(f"*{OWNER_SUFFIX}"):
        if owner_file.with_suffix("") != except_for:
            with suppress(OSError):
                started = min(started, owner_file.stat().st_mtime)
    return started
