"""Where things lie under the store's root, and how an entry leaves it: by one rename."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

FOLDERS: Final = ("entries", "locks", "scratch", "quarantine", "logs")


def place(root: Path, digest: str) -> Path:
    """Directory of a key's entry."""
    return root / "entries" / digest[:2] / digest


def entries(root: Path) -> Iterator[Path]:
    """Directories of all entries, in order of their keys."""
    for shelf in sorted((root / "entries").iterdir()):
        yield from sorted(path for path in shelf.iterdir() if path.is_dir())


def quarantine(root: Path, digest: str) -> bool:
    """Moves an entry aside, so that the key can be built again; False where another process was faster."""
    with suppress(OSError):
        place(root, digest).rename(root / "quarantine" / f"{digest}-{secrets.token_hex(4)}")
        return True
    return False


def discard(directory: Path, scratch: Path) -> None:
    """Removes an entry: for others it is there with all its files, or not there."""
    doomed = scratch / f"gone-{secrets.token_hex(4)}"
    with suppress(OSError):
        directory.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
