"""The memory against rollback: the highest counter seen of each lineage, in a file that only grows.

It fails closed: a state that is missing or damaged refuses every package until a person starts a new one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.bundle.envelope import strict_json
from edgepack.bundle.reading import Contents, read_regular
from edgepack.durable import storage_errors, write_atomically, write_new
from edgepack.records import canonical_json

FORMAT: Final = "edgepack.rollback/1"
MAX_BYTES: Final = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The newest release of a lineage: its counter, and the SHA-256 of its package."""

    counter: int
    sha256: str


def start(path: Path) -> None:
    """Begins a state that has seen nothing.

    Raises:
      StorageError: there is one already (it is never overwritten), or it cannot be written.
    """
    write_new(path, _encode({}))


def check(path: Path, contents: Contents, counter: int | None) -> None:
    """Passes where nothing newer of this lineage was seen. Changes nothing.

    Raises:
      TrustError: an older release, another package of the same counter, no counter; or the state is missing or damaged.
    """
    _permit(_read(path), path, contents, counter)


def record(path: Path, contents: Contents, counter: int | None) -> None:
    """`check`, and remembers the counter; of two processes at once, neither can lower what the other raised.

    Raises:
      TrustError: as `check`.
      StorageError: it cannot be written.
    """
    with _locked(path):
        seen = _read(path)
        _permit(seen, path, contents, counter)
        assert counter is not None
        newest = Seen(counter=counter, sha256=contents.sha256)
        if seen.get(contents.lineage) != newest:
            write_atomically(path, _encode({**seen, contents.lineage: newest}))


def _permit(seen: dict[str, Seen], path: Path, contents: Contents, counter: int | None) -> None:
    if counter is None:
        raise errors.TrustError(
            f"{contents.path}: its signature has no counter, and {path} remembers counters; sign with 'edgepack sign'"
        )
    newest = seen.get(contents.lineage)
    if newest is None or counter > newest.counter:
        return
    if counter < newest.counter:
        raise errors.TrustError(
            f"{contents.path}: rollback: has the counter {counter}, but {path} has seen {newest.counter} "
            f"of {contents.lineage}"
        )
    if contents.sha256 != newest.sha256:
        raise errors.TrustError(
            f"{contents.path}: has the counter {counter} like another package of {contents.lineage} before; "
            "raise the version or --counter with every release"
        )


def _read(path: Path) -> dict[str, Seen]:
    if not path.exists():
        raise errors.TrustError(
            f"{path}: the memory against rollback is missing; on first use begin it with --start-state, else find out who "
            "removed it"
        )
    try:
        document = strict_json(
            read_regular(path, MAX_BYTES, more="are more than a rollback state has"), str(path)
        )
        if document["format"] != FORMAT or set(document) != {"format", "packages"}:
            raise ValueError(f"format {document['format']!r}")
        return {lineage: _seen(entry) for lineage, entry in document["packages"].items()}
    except (errors.PackageError, errors.TrustError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise errors.TrustError(
            f"{path}: the memory against rollback is damaged ({error}); restore it, or remove it and begin anew with "
            "--start-state"
        ) from None


def _seen(entry: Any) -> Seen:
    counter, sha256 = entry["counter"], entry["sha256"]
    if type(counter) is not int or counter < 0 or type(sha256) is not str:
        raise ValueError(f"entry {entry!r}")
    return Seen(counter=counter, sha256=sha256)


def _encode(seen: dict[str, Seen]) -> bytes:
    packages: Any = {
        lineage: {"counter": each.counter, "sha256": each.sha256} for lineage, each in seen.items()
    }
    return canonical_json({"format": FORMAT, "packages": packages})


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time. The lock lies beside the state, which is replaced; the kernel frees it."""
    lock = path.with_name(f"{path.name}.lock")
    with storage_errors(lock):
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
