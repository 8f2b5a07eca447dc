"""A delta between two files or two packages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edgepack import errors
from edgepack.bundle import archive
from edgepack.delta.apply import apply_delta
from edgepack.delta.container import Delta, End, Kind, Part, smallest
from edgepack.delta.methods import METHODS

BARE_METHODS: Final = tuple(name for name, method in METHODS.items() if method.bare)
"""What a device can undo with Python's standard library alone."""


def make_delta(old: bytes, new: bytes, *, methods: Sequence[str] = tuple(METHODS)) -> Delta:
    """The smallest way from `old` to `new`, member by member where both are packages.

    Two packages of one model differ in their manifests' lengths, so that bytes of the model lie at other places; taken
    member by member the model itself keeps its place and subtracts well.

    Args:
      methods: of `METHODS`, "full" among them for files that have nothing in common.

    Returns:
      A delta that was applied once and gave `new`.

    Raises:
      BadInputError: an unknown method, or none.

    Example:
      >>> delta = make_delta(bytes(1000), bytes(999) + b"x")
      >>> delta.parts[0].method, apply_delta(bytes(1000), delta, "delta")[-1:]
      ('subtract', b'x')
    """
    unknown = sorted(set(methods) - set(METHODS))
    if unknown or not methods:
        raise errors.BadInputError(
            f"unknown delta method {', '.join(unknown) or '(none)'}; known: {', '.join(METHODS)}"
        )
    pair = _members(old), _members(new)
    parts: tuple[Part, ...]
    if pair[0] is not None and pair[1] is not None:
        kind: Kind = "package"
        before, after = pair
        assert before is not None
        assert after is not None
        parts = tuple(
            smallest(name, before.get(name, b""), content, methods) for name, content in after.items()
        )
    else:
        kind, parts = "file", (smallest("", old, new, methods),)
    delta = Delta(kind=kind, old=End.of(old), new=End.of(new), parts=parts)
    assert apply_delta(old, delta, "the delta just made") == new
    return delta


def _members(data: bytes) -> dict[str, bytes] | None:
    """Of a package; None for any other file."""
    if not data.startswith(archive.LOCAL_MARK):
        return None
    try:
        return archive.read(data, "package")
    except errors.PackageError:
        return None
