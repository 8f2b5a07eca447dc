"""Arrays by name in one file: an .npz that has the same bytes each time."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack.durable import write_atomically

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
MODE = 0o644 << 16


def npz_bytes(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The .npz of `arrays`: members STORED in order of their names, no dates; `numpy.load` reads it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            member = io.BytesIO()
            np.save(member, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", ZIP_EPOCH)
            info.external_attr = MODE
            info.create_system = 3
            archive.writestr(info, member.getvalue())
    return buffer.getvalue()


def save_npz(target: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Writes `arrays` so that `target` is absent, the old one, or complete.

    Raises:
      StorageError: no space, no permission.
    """
    write_atomically(target, npz_bytes(arrays))
