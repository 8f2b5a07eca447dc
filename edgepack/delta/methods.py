"""Ways to say a new file by an old one. Each encodes with what is installed and decodes with what a device has.

`subtract` wins where the graph is unchanged (the same size, most weights alike), `bsdiff` where parts moved, `zstd` where
long stretches are found again far away, `full` where nothing is alike. Decoding all but `zstd` needs the standard
library only, so a bare device can.
"""

from __future__ import annotations

import lzma
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edgepack import errors
from edgepack.delta import bsdiff

SUBTRACT_WINDOW_BYTES: Final = 4096
"""LZMA dictionary for differences, which are mostly zeros: a small device can hold it, and a larger one gains nothing."""
CHUNK_BYTES: Final = 1 << 20
DECODER_MEMORY_BYTES: Final = 128 << 20
"""The most that decompressing may take; a delta that asks for more is refused."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """One way.

    Attributes:
      encode: (old, new) → payload, or None where the way does not apply.
      decode: (old, payload, size of new) → new. Raises PackageError for a payload that is none.
      bare: whether decoding needs the standard library only.
    """

    encode: Callable[[bytes, bytes], bytes | None]
    decode: Callable[[bytes, bytes, int], bytes]
    bare: bool = True


def subtracted(new: bytes, old: bytes) -> bytes:
    """Byte by byte (new - old) mod 256; both of one length.

    A whole chunk is one integer: the top bit of every byte is kept apart, so that no byte borrows from its neighbour.

    Example:
      >>> subtracted(bytes([5, 0, 255]), bytes([3, 1, 255])).hex()
      '02ff00'
    """
    return _bytewise(new, old, lambda a, b, high, low: ((a | high) - (b & low)) ^ ((a ^ ~b) & high))


def added(old: bytes, difference: bytes) -> bytes:
    """Byte by byte (old + difference) mod 256: undoes `subtracted`.

    Example:
      >>> added(bytes([3, 1, 255]), bytes.fromhex("02ff00")).hex()
      '0500ff'
    """
    return _bytewise(old, difference, lambda a, b, high, low: ((a & low) + (b & low)) ^ ((a ^ b) & high))


def _bytewise(a: bytes, b: bytes, combine: Callable[[int, int, int, int], int]) -> bytes:
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} bytes: expected as many")
    pieces = []
    for start in range(0, len(a), CHUNK_BYTES):
        piece = a[start : start + CHUNK_BYTES]
        size = len(piece)
        high, low = int.from_bytes(b"\x80" * size, "little"), int.from_bytes(b"\x7f" * size, "little")
        other = int.from_bytes(b[start : start + CHUNK_BYTES], "little")
        combined = combine(int.from_bytes(piece, "little"), other, high, low)
        pieces.append(combined.to_bytes(size, "little"))
    return b"".join(pieces)


def _xz(data: bytes, window_bytes: int | None = None) -> bytes:
    settings: dict[str, int] = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME}
    if window_bytes is not None:
        settings["dict_size"] = window_bytes
    # No checksum: the SHA-256 of the result is compared anyway.
    return lzma.compress(data, format=lzma.FORMAT_XZ, check=lzma.CHECK_NONE, filters=[settings])


def _unxz(payload: bytes, size: int) -> bytes:
    reader = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=DECODER_MEMORY_BYTES)
    try:
        data = reader.decompress(payload, max_length=size + 1)
    except lzma.LZMAError as error:
        raise errors.PackageError(f"its xz stream is damaged ({error})") from None
    if len(data) != size or not reader.eof or reader.unused_data:
        raise errors.PackageError(f"its xz stream does not hold {size:,} bytes")
    return data


def _encode_subtract(old: bytes, new: bytes) -> bytes | None:
    return _xz(subtracted(new, old), SUBTRACT_WINDOW_BYTES) if len(old) == len(new) else None


def _decode_subtract(old: bytes, payload: bytes, size: int) -> bytes:
    if len(old) != size:
        raise errors.PackageError(f"it subtracts {len(old):,} bytes from {size:,}; expected as many")
    return added(old, _unxz(payload, size))


def _encode_zstd(old: bytes, new: bytes) -> bytes | None:
    import zstandard

    if not old:
        return None
    # As `zstd --patch-from`: the old file is the dictionary, and matches may lie anywhere in it.
    window = max(10, min(27, (len(old) + len(new)).bit_length()))
    parameters = zstandard.ZstdCompressionParameters.from_level(
        19, window_log=window, enable_ldm=True, write_content_size=True, write_checksum=False
    )
    dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    packed: bytes = zstandard.ZstdCompressor(compression_params=parameters, dict_data=dictionary).compress(
        new
    )
    return packed


def _decode_zstd(old: bytes, payload: bytes, size: int) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise errors.MissingDependencyError(
            "the delta is a zstd patch, and the package zstandard is not installed: pip install zstandard, or make "
            "the delta for a bare device (edgepack delta --bare)"
        ) from None
    dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    try:
        if zstandard.frame_content_size(payload) != size:
            raise errors.PackageError(f"its zstd frame does not hold {size:,} bytes")
        reader = zstandard.ZstdDecompressor(dict_data=dictionary, max_window_size=1 << 27)
        data: bytes = reader.decompress(payload, max_output_size=size, allow_extra_data=False)
    except (zstandard.ZstdError, MemoryError) as error:
        raise errors.PackageError(f"its zstd frame is damaged ({error})") from None
    if len(data) != size:
        raise errors.PackageError(f"its zstd frame does not hold {size:,} bytes")
    return data


METHODS: Final[dict[str, Method]] = {
    "subtract": Method(encode=_encode_subtract, decode=_decode_subtract),
    "bsdiff": Method(encode=bsdiff.encode, decode=bsdiff.decode),
    "full": Method(encode=lambda old, new: _xz(new), decode=lambda old, payload, size: _unxz(payload, size)),
    "zstd": Method(encode=_encode_zstd, decode=_decode_zstd, bare=False),
}
"""By the name that stands in a delta, in the order in which equals are preferred."""
