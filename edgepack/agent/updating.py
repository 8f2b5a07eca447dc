"""One update, from the channel to the switch."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from edgepack import errors
from edgepack.agent.fetching import Offered, Source
from edgepack.agent.slots import PACKAGE, Installed, Slots
from edgepack.bundle.envelope import strict_json
from edgepack.bundle.reading import Contents, read_contents, read_regular
from edgepack.delta.apply import apply_delta
from edgepack.delta.container import parse
from edgepack.durable import storage_errors, write_atomically, write_new
from edgepack.records import Json, canonical_json

SETTINGS, REJECTED, LOCK = "agent.json", "rejected.json", ".lock"
FORMAT: Final = "edgepack.agent/1"
SMALL_BYTES: Final = 1_000_000
Check = Callable[[Path], str | None]
"""From a package's path to what its golden vectors find wrong on this device; None where all is well."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an update did.

    Attributes:
      status: "updated", "current" (nothing newer), "rejected" (the new model failed its check here; the old one stays).
      installed: what is current now.
      fetched_bytes: over the air, metadata not counted.
      way: "delta", "full" or "" where nothing was fetched.
      reason: why it was rejected, or why no delta could be used.
    """

    status: Literal["updated", "current", "rejected"]
    installed: Installed | None
    fetched_bytes: int = 0
    way: Literal["delta", "full", ""] = ""
    reason: str = ""


def begin(state: Path, *, channel: str, lineage: str, root: bytes) -> None:
    """Sets a device up: which channel, which lineage, and the root that it trusts from the factory on.

    Raises:
      StorageError: the state is set up already.
    """
    with storage_errors(state):
        (state / "metadata").mkdir(parents=True, exist_ok=True)
    if (state / SETTINGS).exists():
        raise errors.StorageError(f"{state}: is set up already; its trusted root is not replaced")
    settings: Json = {"format": FORMAT, "channel": channel, "lineage": lineage}
    write_atomically(state / "metadata" / "root.json", root)
    write_new(state / SETTINGS, canonical_json(settings))


def update(state: Path, check: Check) -> Outcome:
    """Brings the device to the channel's newest release of its lineage.

    Args:
      state: set up by `begin`.
      check: runs a package's golden vectors with the interpreter of this device.

    Raises:
      TrustError: metadata or a file that is not what was signed; a rollback. The current model stays.
      DeviceError: the channel cannot be reached.
      StorageError: disk.
    """
    settings = _settings(state)
    with _alone(state):
        slots = Slots(state)
        slots.clean()
        current = _sound(slots)
        source = Source(settings["channel"], state / "metadata", state / "downloads")
        offered = source.newest(settings["lineage"])
        if offered is None or (current is not None and offered.sha256 == current.sha256):
            return Outcome(status="current", installed=current)
        if current is not None and offered.counter <= current.counter:
            raise errors.TrustError(
                f"{settings['channel']}: offers release {offered.counter} where {current.counter} is installed: rollback"
            )
        if offered.sha256 in _rejected(state):
            return Outcome(
                status="rejected", installed=current, reason="it failed its golden vectors here before"
            )
        package, way, fetched, reason = _fetched(source, offered, slots, current)
        contents = _checked(package, offered, state)
        made = slots.put(contents, package, offered.counter)
        fault = check(slots.path(made.slot) / PACKAGE)
        if fault is not None:
            _reject(state, offered.sha256)
            slots.drop(made.slot)
            return Outcome(status="rejected", installed=current, fetched_bytes=fetched, way=way, reason=fault)
        slots.switch(made.slot)
        return Outcome(status="updated", installed=made, fetched_bytes=fetched, way=way, reason=reason)


def _sound(slots: Slots) -> Installed | None:
    """What is current; None where it was damaged, so that the update mends it."""
    try:
        return slots.current()
    except errors.StorageError:
        return None


def _fetched(
    source: Source, offered: Offered, slots: Slots, current: Installed | None
) -> tuple[bytes, Literal["delta", "full"], int, str]:
    """The package's bytes, the way they came, what was fetched for them, and why no delta could be used."""
    reason = ""
    if current is not None and current.sha256 in offered.deltas:
        path = offered.deltas[current.sha256]
        old = (slots.path(current.slot) / PACKAGE).read_bytes()
        data = source.fetch(path)
        try:
            return apply_delta(old, parse(data, path), path), "delta", len(data), ""
        except (errors.PackageError, errors.MissingDependencyError) as error:
            reason = f"no delta: {error}"
    data = source.fetch(offered.package)
    return data, "full", len(data), reason


def _checked(package: bytes, offered: Offered, state: Path) -> Contents:
    """The package's contents: the very bytes that were signed, and for this device."""
    if hashlib.sha256(package).hexdigest() != offered.sha256:
        raise errors.TrustError(f"{offered.package}: is not the package that the channel signed")
    scratch = state / "downloads" / PACKAGE
    write_atomically(scratch, package)
    contents = read_contents(scratch)
    scratch.unlink()
    if contents.lineage != offered.lineage:
        raise errors.TrustError(f"{offered.package}: holds {contents.lineage}; expected {offered.lineage}")
    return contents


def _settings(state: Path) -> dict[str, Any]:
    try:
        text = read_regular(state / SETTINGS, SMALL_BYTES, more="are too many")
    except errors.StorageError:
        raise errors.BadInputError(f"{state}: is not set up; run 'edgepack-agent init' first") from None
    settings = strict_json(text, str(state / SETTINGS))
    if not isinstance(settings, dict) or settings.get("format") != FORMAT:
        raise errors.BadInputError(f"{state / SETTINGS}: is not of the format {FORMAT}")
    return settings


def _rejected(state: Path) -> list[str]:
    path = state / REJECTED
    if not path.exists():
        return []
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return []  # a memory that was damaged only costs another check
    return [str(each) for each in found] if isinstance(found, list) else []


def _reject(state: Path, sha256: str) -> None:
    write_atomically(state / REJECTED, canonical_json([*_rejected(state), sha256]))


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """One agent at a time; the kernel frees the lock of one that dies."""
    with (state / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.DeviceError(f"{state}: another agent is at work here; try again later") from None
        yield
