"""Files (labels, vocabularies) that TFLite's metadata tools append to a .tflite as a zip archive.

Source: TFLite Metadata, "associated files": https://ai.google.dev/edge/litert/conversion/tensorflow/metadata. The
archive's offsets count from the start of the whole file, so it has to be written anew when the model's length changes.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from copy import copy
from typing import Final, TypeAlias

Files: TypeAlias = tuple[tuple[zipfile.ZipInfo, bytes], ...]

END_OF_ARCHIVE: Final = b"PK\x05\x06"
FARTHEST_BYTES: Final = (1 << 16) + 22
"""The end record stands at most so far from the end of a file: it and a comment of 64 KiB."""
MAX_BYTES: Final = 1 << 26


class UnreadableError(Exception):
    """An archive seems to be attached, and cannot be taken along."""


def split(data: bytes) -> tuple[bytes, Files]:
    """The model alone, and the files behind it.

    Raises:
      UnreadableError: encrypted, damaged or too large when unpacked.
    """
    if data.rfind(END_OF_ARCHIVE, max(0, len(data) - FARTHEST_BYTES)) < 0:
        return data, ()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MAX_BYTES:
                raise UnreadableError(f"the attached files are larger than {MAX_BYTES >> 20} MiB")
            files = tuple((member, archive.read(member)) for member in members)
            start = min((member.header_offset for member in members), default=archive.start_dir)
    except (
        zipfile.BadZipFile,
        NotImplementedError,
        RuntimeError,
        ValueError,
        EOFError,
        OSError,
        zlib.error,
    ) as error:
        raise UnreadableError(
            f"files seem to be attached behind the model, but cannot be read: {error}"
        ) from error
    return data[:start], files


def joined(model: bytes, files: Files) -> bytes:
    """The model with the files behind it, each with its name, date and kind of compression."""
    if not files:
        return model
    whole = io.BytesIO(model)
    with zipfile.ZipFile(whole, "a") as archive:
        for member, content in files:
            archive.writestr(copy(member), content)
    return whole.getvalue()
