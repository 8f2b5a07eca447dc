"""Reading FlatBuffers tables from bytes that nobody vouches for: every offset is checked before it is
followed.

Format: https://flatbuffers.dev/internals/. A table starts with a signed offset back to its vtable; a vtable
lists, per field slot, how far into the table the field lies (0 = absent). Vectors and strings carry a 32-bit
length.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors

MAX_STRING_BYTES = 1 << 16
MAX_TABLES = 1 << 20
MOST_READINGS = 16
ALLOWANCE_BYTES = 1 << 20


class DamagedError(errors.ModelError):
    """The bytes are not a well-formed .tflite."""


class Source:
    """The bytes of a file, and how much of them was read so far.

    Lists may overlap: a file of 100 KB can name one list of 100 KB from 10,000 places. So what is read is
    summed, and a file that makes its reader work out of proportion to its size is refused.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._left = len(data) * MOST_READINGS + ALLOWANCE_BYTES

    def spend(self, size_bytes: int) -> None:
        self._left -= size_bytes
        if self._left < 0:
            raise DamagedError("its lists overlap without end")


@dataclass(frozen=True)
class Table:
    """A table at a position in a file; construction through `root` or `Table.table` checks its bounds."""

    source: Source
    position: int
    slots: tuple[int, ...]

    @classmethod
    def root(cls, data: bytes) -> Table:
        return _table(Source(data), 0)

    @property
    def data(self) -> bytes:
        return self.source.data

    def scalar(self, slot: int, kind: str, default: int = 0) -> int:
        """An integer field; `kind` is a struct code such as "i"."""
        at = self._field(slot, struct.calcsize(kind))
        return default if at is None else int(struct.unpack_from("<" + kind, self.data, at)[0])

    def table(self, slot: int) -> Table | None:
        at = self._field(slot, 4)
        return None if at is None else _table(self.source, at)

    def text(self, slot: int) -> str | None:
        vector = self._vector(slot, 1)
        if vector is None:
            return None
        start, length = vector
        if length > MAX_STRING_BYTES:
            raise DamagedError(f"a name of {length:,} bytes; at most {MAX_STRING_BYTES:,} are sensible")
        return self.data[start : start + length].decode("utf-8", errors="replace")

    def numbers(self, slot: int, dtype: str) -> npt.NDArray[Any]:
        """A vector of numbers, a read-only view of the file's bytes; empty where absent."""
        kind = np.dtype(dtype)
        vector = self._vector(slot, kind.itemsize)
        if vector is None:
            return np.empty(0, kind)
        start, length = vector
        return np.frombuffer(self.data, kind, count=length, offset=start)

    def tables(self, slot: int) -> list[Table]:
        vector = self._vector(slot, 4)
        if vector is None:
            return []
        start, length = vector
        if length > MAX_TABLES:
            raise DamagedError(f"a list of {length:,} tables; at most {MAX_TABLES:,} are sensible")
        return [_table(self.source, start + 4 * number) for number in range(length)]

    def _field(self, slot: int, size: int) -> int | None:
        offset = self.slots[slot] if slot < len(self.slots) else 0
        if offset == 0:
            return None
        at = self.position + offset
        if at + size > len(self.data):
            raise DamagedError("a field lies outside the file")
        return at

    def _vector(self, slot: int, item_size: int) -> tuple[int, int] | None:
        at = self._field(slot, 4)
        if at is None:
            return None
        start = _followed(self.data, at)
        (length,) = struct.unpack_from("<I", self.data, start)
        if start + 4 + length * item_size > len(self.data):
            raise DamagedError("a list runs past the end of the file")
        self.source.spend(length * item_size)
        return start + 4, length


def _followed(data: bytes, at: int) -> int:
    """Where the offset at `at` points; four readable bytes are there."""
    if at + 4 > len(data):
        raise DamagedError("an offset lies outside the file")
    (offset,) = struct.unpack_from("<I", data, at)
    target = at + int(offset)
    if offset == 0 or target + 4 > len(data):
        raise DamagedError("an offset points outside the file")
    return target


def _table(source: Source, at: int) -> Table:
    data = source.data
    position = _followed(data, at)
    (back,) = struct.unpack_from("<i", data, position)
    vtable = position - back
    if vtable < 0 or vtable + 4 > len(data):
        raise DamagedError("a table's layout lies outside the file")
    size, extent = struct.unpack_from("<HH", data, vtable)
    if size < 4 or size % 2 or vtable + size > len(data) or extent < 4 or position + extent > len(data):
        raise DamagedError("a table's layout is impossible")
    slots = struct.unpack_from(f"<{(size - 4) // 2}H", data, vtable + 4)
    if any(slot >= extent for slot in slots):
        raise DamagedError("a table's field lies outside the table")
    source.spend(size)
    return Table(source, position, slots)
