"""bsdiff patches (Percival, "Naive differences of executable code", 2003), in the format of its version 4.

Made by the package bsdiff4, applied in plain Python: a header, then three bzip2 streams. Control triples say how many
bytes to add to the old file's, how many to take as they are, and how far to move on in the old file.
"""

from __future__ import annotations

import bz2
import struct
from typing import Final

from edgepack import errors

MAGIC: Final = b"BSDIFF40"
HEADER: Final = struct.Struct("<8s8s8s8s")
CONTROL_BYTES: Final = 24


def encode(old: bytes, new: bytes) -> bytes | None:
    """The patch from `old` to `new`; None for an empty old file, which has nothing to offer."""
    import bsdiff4

    patch: bytes | None = bsdiff4.diff(old, new) if old else None
    return patch


def decode(old: bytes, payload: bytes, size: int) -> bytes:
    """Applies a patch.

    Args:
      size: of the new file, bytes; the patch must agree.

    Raises:
      PackageError: damaged, or reaching outside its own streams.
    """
    from edgepack.delta.methods import added

    control, difference, extra = _streams(payload, size)
    pieces, at, taken, literal, made = [], 0, 0, 0, 0
    for start in range(0, len(control), CONTROL_BYTES):
        add, copy, move = (_signed(control[start + 8 * k : start + 8 * k + 8]) for k in range(3))
        if add < 0 or copy < 0 or made + add + copy > size:
            raise errors.PackageError("its bsdiff patch writes more than the new file has")
        if taken + add > len(difference) or literal + copy > len(extra):
            raise errors.PackageError("its bsdiff patch reads beyond its streams")
        pieces.append(added(_window(old, at, add), difference[taken : taken + add]))
        pieces.append(extra[literal : literal + copy])
        taken, literal, made = taken + add, literal + copy, made + add + copy
        at += add + move
    if made != size:
        raise errors.PackageError(f"its bsdiff patch makes {made:,} bytes; expected {size:,}")
    return b"".join(pieces)


def _streams(payload: bytes, size: int) -> tuple[bytes, bytes, bytes]:
    if len(payload) < HEADER.size or not payload.startswith(MAGIC):
        raise errors.PackageError("its bsdiff patch has no header")
    control_size, difference_size, new_size = (_signed(field) for field in HEADER.unpack_from(payload)[1:])
    begin = HEADER.size
    first, second = begin + control_size, begin + control_size + difference_size
    if new_size != size or not begin <= first <= second <= len(payload):
        raise errors.PackageError("its bsdiff header does not match the patch")
    # Every triple but a last empty one makes at least a byte, so the control stream is bounded too.
    control = _unpacked(payload[begin:first], CONTROL_BYTES * (size + 1))
    if len(control) % CONTROL_BYTES:
        raise errors.PackageError("its bsdiff control stream is cut off")
    return control, _unpacked(payload[first:second], size), _unpacked(payload[second:], size)


def _unpacked(packed: bytes, limit: int) -> bytes:
    reader = bz2.BZ2Decompressor()
    try:
        data = reader.decompress(packed, max_length=limit + 1)
    except (OSError, ValueError, EOFError) as error:
        raise errors.PackageError(f"its bzip2 stream is damaged ({error})") from None
    if not reader.eof or len(data) > limit or reader.unused_data:
        raise errors.PackageError("its bzip2 stream is cut off or larger than the new file")
    return data


def _window(old: bytes, at: int, size: int) -> bytes:
    """`size` bytes of the old file from `at`, zero outside of it."""
    inside = old[max(at, 0) : max(at + size, 0)]
    before = min(size, max(0, -at))
    return bytes(before) + inside + bytes(size - before - len(inside))


def _signed(field: bytes) -> int:
    """Eight bytes: magnitude, little-endian, and the sign in the top bit."""
    value = int.from_bytes(field, "little")
    return -(value & ~(1 << 63)) if value >> 63 else value
