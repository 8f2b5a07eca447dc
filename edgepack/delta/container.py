"""The file that `edgepack delta` writes: one line of JSON, then the payloads of its parts.

Header keys: "format" ("edgepack.delta/1"), "kind" ("file" or "package"), "old" and "new" ({"sha256", "bytes"}), "parts"
([{"name", "method", "bytes" of the payload, "size" of what it makes}]). A package's parts are its members in their
order; a file has one part named "". Nothing follows the last payload.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from edgepack import errors
from edgepack.delta.methods import METHODS
from edgepack.records import canonical_json

FORMAT: Final = "edgepack.delta/1"
HEADER_LIMIT_BYTES: Final = 65_536
SIZE_LIMIT_BYTES: Final = (1 << 31) - 1
PARTS_LIMIT: Final = 64
ALIKE_BYTES: Final = 128
"""About what the containers of compressed streams differ by."""

Kind = Literal["file", "package"]


@dataclass(frozen=True, kw_only=True)
class End:
    """One of the two files that a delta lies between."""

    sha256: str
    size: int

    @classmethod
    def of(cls, data: bytes) -> End:
        return cls(sha256=hashlib.sha256(data).hexdigest(), size=len(data))


@dataclass(frozen=True, kw_only=True)
class Part:
    """One stretch of the new file.

    Attributes:
      name: of the member; "" for a file that is one.
      method: key of `METHODS`.
      payload: its bytes in the delta.
      size: bytes of what it makes.
    """

    name: str
    method: str
    payload: bytes
    size: int


@dataclass(frozen=True, kw_only=True)
class Delta:
    """What turns one file into another."""

    kind: Kind
    old: End
    new: End
    parts: tuple[Part, ...]

    def to_bytes(self) -> bytes:
        header: dict[str, Any] = {
            "format": FORMAT,
            "kind": self.kind,
            "old": {"sha256": self.old.sha256, "bytes": self.old.size},
            "new": {"sha256": self.new.sha256, "bytes": self.new.size},
            "parts": [
                {"name": part.name, "method": part.method, "bytes": len(part.payload), "size": part.size}
                for part in self.parts
            ],
        }
        return b"".join([canonical_json(header), b"\n", *(part.payload for part in self.parts)])


def parse(data: bytes, source: str) -> Delta:
    """Reads a delta that nobody vouches for; applies nothing.

    Raises:
      PackageError: it is none, damaged, or claims more than its limits.
    """
    line, newline, _ = data[: HEADER_LIMIT_BYTES + 1].partition(b"\n")
    if not newline or not line.startswith(b"{"):
        raise errors.PackageError(f"{source}: is not a delta of edgepack (no header line)")
    try:
        header = json.loads(line)
        canonical = canonical_json(header) == line
    except (ValueError, RecursionError, errors.EdgepackError):
        raise errors.PackageError(f"{source}: the header of the delta is not JSON") from None
    if not canonical or not isinstance(header, dict) or header.get("format") != FORMAT:
        raise errors.PackageError(f"{source}: is not a delta of the format {FORMAT}")
    try:
        return _delta(header, data[len(line) + 1 :])
    except (KeyError, TypeError, ValueError) as error:
        raise errors.PackageError(f"{source}: the header of the delta is wrong: {error}") from None


def _delta(header: Mapping[str, Any], payloads: bytes) -> Delta:
    if set(header) != {"format", "kind", "old", "new", "parts"} or header["kind"] not in ("file", "package"):
        raise ValueError("expected format, kind, old, new and parts")
    parts: list[Part] = []
    at = 0
    if not isinstance(header["parts"], list) or not 1 <= len(header["parts"]) <= PARTS_LIMIT:
        raise ValueError(f"expected 1 to {PARTS_LIMIT} parts")
    for entry in header["parts"]:
        size, packed = _count(entry["size"]), _count(entry["bytes"])
        if entry["method"] not in METHODS or not isinstance(entry["name"], str) or len(entry) != 4:
            raise ValueError(f"a part by the method {entry['method']!r}; known: {', '.join(METHODS)}")
        parts.append(
            Part(name=entry["name"], method=entry["method"], payload=payloads[at : at + packed], size=size)
        )
        at += packed
    if at != len(payloads):
        raise ValueError(f"its parts have {at:,} bytes, {len(payloads):,} are there")
    return Delta(kind=header["kind"], old=_end(header["old"]), new=_end(header["new"]), parts=tuple(parts))


def _end(entry: Mapping[str, Any]) -> End:
    digest = entry["sha256"]
    if (
        len(entry) != 2
        or not isinstance(digest, str)
        or len(digest) != 64
        or set(digest) - set("0123456789abcdef")
    ):
        raise ValueError("expected a sha256 and the number of bytes")
    return End(sha256=digest, size=_count(entry["bytes"]))


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= SIZE_LIMIT_BYTES:
        raise ValueError(f"{value!r} is no number of bytes up to {SIZE_LIMIT_BYTES:,}")
    return value


def smallest(name: str, old: bytes, new: bytes, methods: Sequence[str]) -> Part:
    """The part that says `new` in the fewest bytes.

    Methods that are alike within `ALIKE_BYTES` and 1 % count as equal; the first in `METHODS`, which a bare device can
    undo, is taken then.
    """
    found = []
    for method in METHODS:
        payload = METHODS[method].encode(old, new) if method in methods else None
        if payload is not None:
            found.append(Part(name=name, method=method, payload=payload, size=len(new)))
    least = min(len(part.payload) for part in found)
    return next(part for part in found if len(part.payload) <= least * 1.01 + ALIKE_BYTES)


def made(part: Part, old: bytes, source: str) -> bytes:
    """The bytes that a part stands for.

    Raises:
      PackageError: the part is damaged, or meant for another old file.
      MissingDependencyError: its method needs a package that is not installed.
    """
    try:
        return METHODS[part.method].decode(old, part.payload, part.size)
    except errors.PackageError as error:
        what = f"{part.name} " if part.name else ""
        raise errors.PackageError(f"{source}: {what}cannot be made: {error}") from None
