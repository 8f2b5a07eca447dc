"""The store itself: get, lock, put."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import filelock

from edgepack import errors
from edgepack.durable import storage_errors, sync_directory
from edgepack.records import Json
from edgepack.store import upkeep
from edgepack.store.entry import CorruptError, Entry, read_entry, write_entry
from edgepack.store.layout import FOLDERS, place, quarantine
from edgepack.store.read_tier import VARIABLE, ReadTier
from edgepack.store.scratch import Scratch, oldest_start, sweep

KEPT_LOGS: Final = 20


def default_root() -> Path:
    """$EDGEPACK_CACHE, else $XDG_CACHE_HOME/edgepack, else ~/.cache/edgepack."""
    if chosen := os.environ.get("EDGEPACK_CACHE"):
        return Path(chosen).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "edgepack"


class Store:
    """The store under `root`, which is made where missing.

    Any number of processes may use one root at once. What dead processes left is swept when a store opens.

    Args:
      root: `default_root` when None.
      read_url: another store that is looked into, and copied from, where an entry is missing here; any URL that fsspec
        knows. $EDGEPACK_STORE_READ when None.

    Raises:
      StorageError: the root cannot be made or written.
    """

    def __init__(self, root: Path | None = None, read_url: str | None = None) -> None:
        self.root = (default_root() if root is None else root).absolute()
        try:
            with storage_errors(self.root):
                for name in FOLDERS:
                    (self.root / name).mkdir(parents=True, exist_ok=True)
                sweep(self.root / "scratch")
                self._scratch = Scratch(self.root / "scratch")
        except errors.StorageError as error:
            raise errors.StorageError(
                f"{error}. EDGEPACK_CACHE names another folder for the store"
            ) from error
        url = os.environ.get(VARIABLE) if read_url is None else read_url
        self._tier = ReadTier(url) if url else None

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def scratch(self) -> Path:
        """A folder for this process's temporary files; `put` moves files from here instead of copying."""
        return self._scratch.directory

    def close(self) -> None:
        """Removes the scratch folder. What a killed process leaves is swept by the next one."""
        self._scratch.close()

    def get(self, digest: str) -> Entry | None:
        """The entry of a key, every file re-hashed; None where there is none.

        A damaged entry goes to quarantine and counts as none. One that only the read tier has is copied first.

        Raises:
          StorageError: the read tier cannot be reached, or no space for its entry.
        """
        directory = place(self.root, digest)
        if not directory.is_dir() and not self._fetched(digest):
            return None
        try:
            entry = read_entry(digest, directory)
        except (CorruptError, OSError):
            quarantine(self.root, digest)
            return None
        with suppress(OSError):
            os.utime(directory)  # the last use, for gc
        return entry

    def _fetched(self, digest: str) -> bool:
        """Whether the read tier had the entry, which now is here too."""
        if self._tier is None:
            return False
        staging = self.scratch / f"fetch-{secrets.token_hex(8)}"
        with storage_errors(self.root):
            found = self._tier.fetch(digest, staging)
            if found:
                try:
                    self._publish(staging, digest)
                finally:
                    shutil.rmtree(staging, ignore_errors=True)
        return found

    @contextmanager
    def lock(self, digest: str) -> Iterator[None]:
        """Holds a key while it is built; others wait. The kernel frees it when this process dies."""
        held = filelock.FileLock(self.root / "locks" / f"{digest}.lock")
        with storage_errors(self.root):
            held.acquire()
        try:
            yield
        finally:
            held.release()

    def put(self, digest: str, files: Mapping[str, Path], record: Json) -> Entry:
        """Stores files and record under a key, all or nothing.

        Files in `scratch` are moved, others copied. Where another builder was faster, its entry is returned.

        Raises:
          StorageError: the disk is full or not writable; nothing is left behind.
        """
        staging = self.scratch / f"put-{secrets.token_hex(8)}"
        with storage_errors(self.root):
            needed = sum(path.stat().st_size for path in files.values())
        try:
            with storage_errors(self.root, needed_bytes=needed):
                staging.mkdir()
                write_entry(staging, digest, files, record, own=self.root / "scratch")
                self._publish(staging, digest)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        entry = self.get(digest)
        if entry is None:
            raise errors.StorageError(
                f"{place(self.root, digest)}: what was just written reads back differently; check the disk"
            )
        return entry

    def keep_log(self, log: Path) -> Path:
        """Copies a log out of the scratch folder, where only the newest few are kept; returns its place."""
        with storage_errors(self.root):
            logs = sorted((self.root / "logs").iterdir(), key=lambda path: path.stat().st_mtime)
            for old in logs[: max(0, len(logs) - KEPT_LOGS + 1)]:
                old.unlink(missing_ok=True)
            kept = self.root / "logs" / f"{log.stem}-{secrets.token_hex(4)}{log.suffix}"
            shutil.copyfile(log, kept)
        return kept

    def verify(self) -> upkeep.VerifyReport:
        """Re-hashes every entry; damaged ones go to quarantine and will be built again when needed."""
        with storage_errors(self.root):
            return upkeep.verify(self.root)

    def gc(self, *, max_age_s: float | None = None, max_bytes: int | None = None) -> upkeep.GcReport:
        """Removes the quarantine, entries unused for `max_age_s`, then the longest unused above `max_bytes`.

        Entries that a build running now may have looked up are kept.
        """
        with storage_errors(self.root):
            sweep(self.root / "scratch")
            used_since = oldest_start(self.root / "scratch", except_for=self.scratch)
            return upkeep.collect(
                self.root,
                max_age_s=max_age_s,
                max_bytes=max_bytes,
                used_since=used_since,
                scratch=self.scratch,
            )

    def _publish(self, staging: Path, digest: str) -> None:
        target = place(self.root, digest)
        target.parent.mkdir(exist_ok=True)
        try:
            staging.rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            if self.get(digest) is None:  # damaged, now out of the way
                staging.rename(target)
        sync_directory(target.parent)
