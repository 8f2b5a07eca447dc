"""Keeping the store small and sound: garbage collection and verification."""

from __future__ import annotations

import fcntl
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgepack.store.entry import CorruptError, read_entry, size_bytes
from edgepack.store.layout import discard, entries, quarantine

IDLE_LOCK_S: Final = 86_400.0


@dataclass(frozen=True, kw_only=True)
class GcReport:
    """What a collection removed and left.

    Attributes:
      removed, removed_bytes: entries and quarantined ones.
      kept, kept_bytes: entries.
      in_use: entries that were due but may be needed by a build that runs now.
    """

    removed: int
    removed_bytes: int
    kept: int
    kept_bytes: int
    in_use: int


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What verification found.

    Attributes:
      sound, bytes: entries that are what was stored, and the size of their files.
      corrupt: keys of entries that were not; they are in quarantine and will be built again when needed.
    """

    sound: int
    bytes: int
    corrupt: tuple[str, ...]


def collect(
    root: Path, *, max_age_s: float | None, max_bytes: int | None, used_since: float, scratch: Path
) -> GcReport:
    """Removes the quarantine, entries unused for `max_age_s`, then the longest unused above `max_bytes`.

    Entries used since `used_since` (seconds since the epoch) stay: a running build may be reading them.
    """
    removed, removed_bytes = 0, 0
    for directory in (root / "quarantine").iterdir():
        removed, removed_bytes = removed + 1, removed_bytes + size_bytes(directory)
        shutil.rmtree(directory, ignore_errors=True)
    _drop_idle_locks(root / "locks")
    uses = sorted(
        (directory.stat().st_mtime, directory, size_bytes(directory)) for directory in entries(root)
    )
    total, now = sum(size for _, _, size in uses), time.time()
    kept, in_use = 0, 0
    for used, directory, size in uses:
        is_old = max_age_s is not None and now - used > max_age_s
        is_due = is_old or (max_bytes is not None and total > max_bytes)
        if not is_due or used >= used_since:
            kept, in_use = kept + 1, in_use + int(is_due)
            continue
        discard(directory, scratch)
        total, removed, removed_bytes = total - size, removed + 1, removed_bytes + size
    return GcReport(removed=removed, removed_bytes=removed_bytes, kept=kept, kept_bytes=total, in_use=in_use)


def verify(root: Path) -> VerifyReport:
    """Re-hashes every entry; damaged ones go to quarantine."""
    sound, size, corrupt = 0, 0, []
    for directory in entries(root):
        try:
            entry = read_entry(directory.name, directory)
        except (CorruptError, OSError):
            if quarantine(root, directory.name):
                corrupt.append(directory.name)
            continue
        sound, size = sound + 1, size + sum(path.stat().st_size for path in entry.files.values())
    return VerifyReport(sound=sound, bytes=size, corrupt=tuple(sorted(corrupt)))


def _drop_idle_locks(locks: Path) -> None:
    """Lock files are empty but many. One that somebody takes while it goes only costs a stage built twice."""
    for path in locks.glob("*.lock"):
        with suppress(OSError), path.open("rb") as file:
            if time.time() - path.stat().st_mtime > IDLE_LOCK_S:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
