"""What a device does with a delta: checks the old file, makes the new one in memory, checks that."""

from __future__ import annotations

import hashlib

from edgepack import errors
from edgepack.bundle import archive
from edgepack.delta.container import Delta, Part, made


def apply_delta(old: bytes, delta: Delta, source: str) -> bytes:
    """The new file.

    Args:
      old: the very file that the delta was made from.
      source: names the delta in messages.

    Raises:
      PackageError: another old file, a damaged delta, or a result that is not the promised one.
      MissingDependencyError: a part needs a package that is not installed.
    """
    found = hashlib.sha256(old).hexdigest()
    if found != delta.old.sha256 or len(old) != delta.old.size:
        raise errors.PackageError(
            f"{source}: is made from another file: SHA-256 {delta.old.sha256[:16]}… expected, {found[:16]}… given"
        )
    new = _packed(old, delta, source) if delta.kind == "package" else made(_only(delta, source), old, source)
    if hashlib.sha256(new).hexdigest() != delta.new.sha256 or len(new) != delta.new.size:
        raise errors.PackageError(f"{source}: does not give the file that it promises; it is damaged")
    return new


def _only(delta: Delta, source: str) -> Part:
    if len(delta.parts) != 1 or delta.parts[0].name:
        raise errors.PackageError(f"{source}: a delta of one file has one part without a name")
    return delta.parts[0]


def _packed(old: bytes, delta: Delta, source: str) -> bytes:
    names = [part.name for part in delta.parts]
    if names not in (list(archive.REQUIRED), list(archive.MEMBER_LIMITS_BYTES)):
        raise errors.PackageError(f"{source}: does not make the members of a package, but {', '.join(names)}")
    for part in delta.parts:
        if part.size > archive.MEMBER_LIMITS_BYTES[part.name]:
            raise errors.PackageError(
                f"{source}: makes {part.size:,} bytes of {part.name}, more than it may have"
            )
    before = archive.read(old, source)
    return archive.write({part.name: made(part, before.get(part.name, b""), source) for part in delta.parts})
