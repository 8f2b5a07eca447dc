"""The package's container: a zip with exactly one form for given contents. Layout and reasons: README.md."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from edgepack import errors

MEMBER_LIMITS_BYTES: Final[dict[str, int]] = {
    "manifest.json": 16_000_000,
    "model.tflite": (1 << 31) - 1,
    "golden.bin": 256_000_000,
    "recipe.toml": 1_000_000,
    "device.tflite": 256_000_000,
}
"""Every member, in the order they lie in the file, and the most that each may hold."""
OPTIONAL: Final = "device.tflite"
"""The last one, which a package has only where its device stores another form of the model."""
REQUIRED: Final = tuple(name for name in MEMBER_LIMITS_BYTES if name != OPTIONAL)

LOCAL: Final = struct.Struct("<4sHHHHHLLLHH")
CENTRAL: Final = struct.Struct("<4sHHHHHHLLLHHHHHLL")
END: Final = struct.Struct("<4sHHHHLLH")
LOCAL_MARK, CENTRAL_MARK, END_MARK = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
VERSION_NEEDED: Final = 20
VERSION_MADE_BY: Final = (3 << 8) | VERSION_NEEDED
"""3: Unix, so that the mode below is understood."""
STORED: Final = 0
DOS_TIME, DOS_DATE = 0, 0x21
"""1980-01-01 00:00: the earliest that zip can say."""
MODE: Final = 0o100644 << 16


def write(members: Mapping[str, bytes]) -> bytes:
    """The one archive of these members.

    Raises:
      PackageError: a member is missing, unknown or over its limit.
    """
    if {*members, OPTIONAL} != set(MEMBER_LIMITS_BYTES):
        raise errors.PackageError(
            f"a package has the members {', '.join(REQUIRED)} and perhaps {OPTIONAL}; got {', '.join(members)}"
        )
    for name, content in members.items():
        if len(content) > MEMBER_LIMITS_BYTES[name]:
            raise errors.PackageError(
                f"{name} has {len(content):,} bytes; a package takes at most {MEMBER_LIMITS_BYTES[name]:,}"
            )
    return b"".join(_pieces(members, {name: zlib.crc32(content) for name, content in members.items()}))


def _pieces(members: Mapping[str, bytes], checksums: Mapping[str, int]) -> Iterator[bytes]:
    """The archive, piece by piece: what is large is neither copied nor summed twice."""
    directory, offset = bytearray(), 0
    for name in (each for each in MEMBER_LIMITS_BYTES if each in members):
        size, encoded = len(members[name]), name.encode("ascii")
        facts = (STORED, DOS_TIME, DOS_DATE, checksums[name], size, size, len(encoded), 0)
        central = (CENTRAL_MARK, VERSION_MADE_BY, VERSION_NEEDED, 0, *facts, 0, 0, 0, MODE, offset)
        directory += CENTRAL.pack(*central) + encoded
        header = LOCAL.pack(LOCAL_MARK, VERSION_NEEDED, 0, *facts) + encoded
        yield header
        yield members[name]
        offset += len(header) + size
    count = len(members)
    yield bytes(directory)
    yield END.pack(END_MARK, 0, 0, count, count, len(directory), offset, 0)


def read(data: bytes, source: str) -> dict[str, bytes]:
    """The members of an archive that is byte for byte what `write` makes of them.

    Walking the local headers in order, then comparing with the canonical form, leaves no room for what two
    zip readers could understand differently: a second directory, holes, trailing bytes, other names.

    Raises:
      PackageError: says what is wrong.
    """
    if not data.startswith(LOCAL_MARK):
        raise errors.PackageError(f"{source}: is not an .edgepack package (it does not begin like a zip)")
    members: dict[str, bytes] = {}
    checksums: dict[str, int] = {}
    position = 0
    for expected, limit in MEMBER_LIMITS_BYTES.items():
        if position + LOCAL.size > len(data):
            raise errors.PackageError(f"{source}: is cut off before {expected}")
        mark, _, flags, method, _, _, crc, packed, size, name_size, extra = LOCAL.unpack_from(data, position)
        name = data[position + LOCAL.size : position + LOCAL.size + name_size]
        if expected == OPTIONAL and (mark != LOCAL_MARK or name != OPTIONAL.encode("ascii")):
            break
        if mark != LOCAL_MARK or name != expected.encode("ascii"):
            raise errors.PackageError(f"{source}: has {_shown(mark, name, members)} where {expected} must be")
        if flags or method != STORED or extra or packed != size:
            raise errors.PackageError(
                f"{source}: {expected} is compressed, encrypted or has extra fields; expected plain bytes"
            )
        if size > limit:
            raise errors.PackageError(
                f"{source}: {expected} claims {size:,} bytes; at most {limit:,} are read"
            )
        begin = position + LOCAL.size + name_size
        content = data[begin : begin + size]
        if len(content) != size:
            raise errors.PackageError(f"{source}: is cut off inside {expected}")
        if zlib.crc32(content) != crc:
            raise errors.PackageError(f"{source}: {expected} is damaged (CRC-32 differs)")
        members[expected], checksums[expected] = content, crc
        position = begin + size
    _require_canonical(data, position, members, list(_pieces(members, checksums)), source)
    return members


def _require_canonical(
    data: bytes, end_of_members: int, members: Mapping[str, bytes], canonical: Sequence[bytes], source: str
) -> None:
    position = 0
    for piece in canonical:
        if not data.startswith(piece, position):
            break
        position += len(piece)
    else:
        if len(data) == position:
            return
        raise errors.PackageError(f"{source}: {len(data) - position:,} bytes follow the end of the package")
    if data.startswith(LOCAL_MARK, end_of_members) and len(data) >= end_of_members + LOCAL.size:
        name_size = LOCAL.unpack_from(data, end_of_members)[9]
        name = data[end_of_members + LOCAL.size :][:name_size].decode("ascii", errors="replace")
        raise errors.PackageError(
            f"{source}: has the further member {name!r}; nothing may follow {[*members][-1]}"
        )
    if position < end_of_members:
        raise errors.PackageError(
            f"{source}: a member's header has other dates or versions than packages have"
        )
    raise errors.PackageError(f"{source}: its zip directory is cut off or does not match its members")


def _shown(mark: bytes, name: bytes, members: Mapping[str, bytes]) -> str:
    if mark != LOCAL_MARK:
        return "something that is no member"
    text = name.decode("ascii", errors="replace")
    return f"{text!r} a second time" if text in members else f"the member {text!r}"
