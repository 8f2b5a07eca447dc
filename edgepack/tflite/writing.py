"""Writes a .tflite with nothing in it twice.

FlatBuffers lets any number of offsets point at one string, vector or table, and readers cannot tell. The converter
writes each anew: every int8 convolution carries two vectors of zero zero-points, and every op its own options.
"""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt

IDENTIFIER = b"TFL3"
DATA_ALIGNMENT = 16
"""As schema.fbs demands of a buffer's data (``force_align: 16``), which the Python builder ignores."""


class SharingBuilder(flatbuffers.Builder):  # type: ignore[misc]
    """A flatbuffers Builder that answers with the offset of what is already written where that is equal.

    Format: https://flatbuffers.dev/internals/.
    """

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self._vectors: dict[tuple[str, bytes], int] = {}
        self._tables: dict[tuple[tuple[int, str, bytes | int], ...], int] = {}
        self._fields: list[tuple[int, str, bytes | int]] = []

    def CreateString(self, s: Any, encoding: str = "utf-8", errors: str = "strict") -> int:
        return int(self.CreateSharedString(s, encoding, errors))

    def CreateSharedString(self, s: Any, encoding: str = "utf-8", errors: str = "strict") -> int:
        key = ("string", s.encode(encoding, errors) if isinstance(s, str) else bytes(s))
        if key not in self._vectors:
            self._vectors[key] = super().CreateString(s, encoding, errors)
        return self._vectors[key]

    def CreateNumpyVector(self, x: npt.NDArray[Any]) -> int:
        """Writes a vector of numbers; bytes are the data of buffers and are aligned as such."""
        content = x.astype(x.dtype.newbyteorder("<"), copy=False).tobytes()
        key = (x.dtype.str, content)
        if key not in self._vectors:
            self.StartVector(x.itemsize, x.size, DATA_ALIGNMENT if x.dtype == np.uint8 else x.dtype.alignment)
            self.head: int = self.head - len(content)
            self.Bytes[self.head : self.head + len(content)] = content
            self._vectors[key] = self.EndVector()
        return self._vectors[key]

    def StartObject(self, numfields: int) -> None:
        super().StartObject(numfields)
        self._fields = []

    def PrependSlot(self, flags: Any, o: int, x: Any, d: Any) -> None:
        if x != d:
            self._fields.append((o, flags.__name__, flags.packer_type.pack(x)))
        super().PrependSlot(flags, o, x, d)

    def PrependUOffsetTRelativeSlot(self, o: int, x: int, d: int) -> None:
        if x != d:
            self._fields.append((o, "offset", x))
        super().PrependUOffsetTRelativeSlot(o, x, d)

    def EndObject(self) -> int:
        key = tuple(sorted(self._fields))
        if key not in self._tables:
            self._tables[key] = super().EndObject()
            return self._tables[key]
        self.assertNested()
        self.nested = False
        self.current_vtable = None
        self.head = len(self.Bytes) - self.objectEnd  # takes the fields back
        return self._tables[key]


def written(model: Any, size_bytes: int) -> bytes:
    """The file of a model.

    Args:
      model: a `ModelT` of LiteRT's generated schema; its number vectors are numpy arrays.
      size_bytes: about how large it will be.
    """
    builder = SharingBuilder(size_bytes + 1024)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())
