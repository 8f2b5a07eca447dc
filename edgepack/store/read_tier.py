"""A store that is only read, wherever fsspec reaches: what a team's builds made need not be made again.

It has the layout of any store (`rsync` or an object store's own tools put entries there) and takes no lock: an entry is
complete when its `entry.json` can be read, and every byte of it is hashed before it counts.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.store.entry import ENTRY_FILE, CorruptError, read_entry

VARIABLE: Final = "EDGEPACK_STORE_READ"
"""Environment variable that names the URL."""
MOST_HEAD_BYTES: Final = 16_000_000
MOST_FILE_BYTES: Final = 8_000_000_000
MOST_FILES: Final = 10_000
CHUNK_BYTES: Final = 1 << 20


class ReadTier:
    """The entries under a URL, such as "s3://bucket/store", "https://…" or "file:///mnt/team/store".

    Raises:
      MissingDependencyError: fsspec, or what it needs for this kind of URL, is not installed.
      StorageError: the URL names no filesystem.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._absent: set[str] = set()
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise errors.MissingDependencyError(
                f'{VARIABLE}={url} needs fsspec, which is not installed; install with: pip install "edgepack[tune]"'
            ) from None
        try:
            self._files, self._root = url_to_fs(url)
        except ImportError as error:
            raise errors.MissingDependencyError(f"{VARIABLE}={url}: {error}") from None
        except (ValueError, OSError) as error:
            raise errors.StorageError(f"{VARIABLE}={url}: cannot be opened: {error}") from error

    def fetch(self, digest: str, staging: Path) -> bool:
        """Copies an entry into the empty directory `staging`, which it makes; False where there is no sound one.

        Raises:
          StorageError: the URL cannot be reached.
        """
        if digest in self._absent:
            return False
        place = f"{self._root.rstrip('/')}/entries/{digest[:2]}/{digest}"
        try:
            staging.mkdir()
            self._copied(f"{place}/{ENTRY_FILE}", staging / ENTRY_FILE, MOST_HEAD_BYTES)
            for name in _listed(staging / ENTRY_FILE):
                self._copied(f"{place}/{name}", staging / name, MOST_FILE_BYTES)
            read_entry(digest, staging)
            return True
        except (FileNotFoundError, CorruptError):
            self._absent.add(digest)
            shutil.rmtree(staging, ignore_errors=True)
            return False
        except Exception as error:  # every kind of filesystem has errors of its own
            shutil.rmtree(staging, ignore_errors=True)
            raise errors.StorageError(
                f"{self.url}: cannot be read: {error}; unset {VARIABLE} (or --store-read) to do without it"
            ) from error

    def _copied(self, source: str, target: Path, most_bytes: int) -> None:
        with self._files.open(source, "rb") as remote, target.open("wb") as local:
            while chunk := remote.read(CHUNK_BYTES):
                if local.tell() + len(chunk) > most_bytes:
                    raise CorruptError(f"{source} has more than {most_bytes:,} bytes")
                local.write(chunk)


def _listed(head: Path) -> list[str]:
    """Names of an entry's files, each safe to be one."""
    try:
        document: Any = json.loads(head.read_bytes().split(b"\n")[0])
        names = list(document["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptError(f"{head} is not an entry") from error
    sound = all(
        isinstance(name, str) and name == Path(name).name and name not in ("", ".", "..") for name in names
    )
    if not sound or len(names) > MOST_FILES or ENTRY_FILE in names:
        raise CorruptError(f"{head} lists files that cannot be an entry's")
    return names
