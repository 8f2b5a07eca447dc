"""One stored result as a directory: how it is written, and how it is trusted again."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.durable import sync_directory
from edgepack.records import Json, canonical_json, file_sha256

ENTRY_FORMAT: Final = "edgepack.entry/1"
ENTRY_FILE: Final = "entry.json"


class CorruptError(Exception):
    """An entry is not what was stored. Stays inside the store: to its users that is a miss."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One stored result, its files just found to be what was stored.

    Attributes:
      key: what it was stored under.
      directory: where its files lie; read them, don't write.
      files: name → path.
      record: the JSON stored beside them.
    """

    key: str
    directory: Path
    files: Mapping[str, Path]
    record: Any


def key(**parts: Json) -> str:
    """SHA-256 of everything that decides a result, as 64 hex digits.

    Example:
      >>> key(step="prune", sparsity=0.5) == key(sparsity=0.5, step="prune")
      True
    """
    return hashlib.sha256(canonical_json(parts)).hexdigest()


def read_entry(digest: str, directory: Path) -> Entry:
    """Reads an entry and re-hashes every byte of it.

    Raises:
      CorruptError: anything is missing, added or changed.
      OSError: a file cannot be read; FileNotFoundError where there is no entry.
    """
    head = directory / ENTRY_FILE
    try:
        body, seal = head.read_bytes().split(b"\n")
        document = json.loads(body)
    except ValueError as error:
        raise CorruptError(f"{head} is not an entry") from error
    if hashlib.sha256(body).hexdigest().encode() != seal:
        raise CorruptError(f"{head} was changed")
    if document.get("format") != ENTRY_FORMAT or document.get("key") != digest:
        raise CorruptError(f"{head} belongs to another key or format")
    listed: dict[str, str] = document["files"]
    if {path.name for path in directory.iterdir()} != {ENTRY_FILE, *listed}:
        raise CorruptError(f"{directory} has other files than it lists")
    for name, sha256 in listed.items():
        if file_sha256(directory / name) != sha256:
            raise CorruptError(f"{directory / name} was changed")
    files = {name: directory / name for name in sorted(listed)}
    return Entry(key=digest, directory=directory, files=files, record=document["record"])


def write_entry(staging: Path, digest: str, files: Mapping[str, Path], record: Json, *, own: Path) -> None:
    """Fills the empty directory `staging` and syncs it; the caller renames it into place.

    Args:
      files: name → where it is now. Files under `own` are moved, others copied. (Not linked: a file that
        is written again in place later would change the entry.)
    """
    digests: dict[str, Json] = {}
    for name, source in files.items():
        if not name or name == ENTRY_FILE or "/" in name or name in (".", ".."):
            raise errors.StorageError(f"{name!r} cannot be the name of a stored file")
        _take(source, staging / name, move=source.is_relative_to(own))
        digests[name] = file_sha256(staging / name)
    document: dict[str, Json] = {"format": ENTRY_FORMAT, "key": digest, "files": digests, "record": record}
    body = canonical_json(document)
    (staging / ENTRY_FILE).write_bytes(body + b"\n" + hashlib.sha256(body).hexdigest().encode())
    for path in staging.iterdir():
        _sync(path)
    sync_directory(staging)


def size_bytes(directory: Path) -> int:
    """Bytes of the files in a directory; 0 where it just went away."""
    try:
        return sum(path.stat().st_size for path in directory.iterdir())
    except OSError:
        return 0


def _take(source: Path, target: Path, *, move: bool) -> None:
    if move and not source.is_symlink():
        source.rename(target)
    else:
        shutil.copyfile(source, target)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
