"""A .tflite as the objects of LiteRT's generated schema: whole and editable, for those who write it anew."""

from __future__ import annotations

import struct
from typing import Any

from edgepack.tflite.flatbuffer import DamagedError


def unpacked(data: bytes) -> Any:
    """The `ModelT` of a file that `precheck.parse` found sound.

    Raises:
      DamagedError: a part that the check does not read (an op's options) leads outside the file.
    """
    from ai_edge_litert import schema_py_generated as schema

    try:
        return schema.ModelT.InitFromPackedBuf(bytearray(data), 0)
    except (struct.error, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise DamagedError(f"a table cannot be read: {error}") from error
