"""What was found in an HDF5 file, as plain Python values that can cross a pipe."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors

OUTPUT_NAMES: Final = "edgepack_output_names"
"""Attribute of a candidate: its output names as JSON, where they are not those of the layers that make them."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Groups, text attributes and datasets of one HDF5 file.

    Attributes:
      where: names the file in messages.
      groups: paths of all groups; the root is "".
      texts: (group, attribute) → its texts, split ones joined.
      arrays: by path; empty where the values were not asked for.
    """

    where: str
    groups: frozenset[str]
    texts: Mapping[tuple[str, str], list[str]]
    arrays: Mapping[str, npt.NDArray[Any]]

    def text(self, group: str, name: str) -> str | None:
        """A text attribute; None where there is none."""
        texts = self.texts.get((group, name))
        return None if texts is None else "".join(texts)

    def strings(self, group: str, name: str) -> list[str] | None:
        """An attribute that lists texts; None where there is none."""
        return self.texts.get((group, name))

    def read(self, path: str) -> npt.NDArray[Any]:
        """The values of one dataset.

        Raises:
          ModelError: there is none at that path.
        """
        if path not in self.arrays:
            raise errors.ModelError(
                f"{self.where}: has no weights at {path!r}; the file is incomplete, save the model again"
            )
        return self.arrays[path]

    def write(self, stream: IO[bytes]) -> None:
        """Writes one line of JSON, then the arrays' bytes one after the other."""
        header = {
            "groups": sorted(self.groups),
            "texts": [[group, name, texts] for (group, name), texts in self.texts.items()],
            "arrays": [[path, array.dtype.str, array.shape] for path, array in self.arrays.items()],
        }
        stream.write(json.dumps(header).encode() + b"\n")
        for array in self.arrays.values():
            stream.write(array.tobytes())

    @classmethod
    def parse(cls, header: Mapping[str, Any], stream: IO[bytes], where: str) -> Contents:
        """What `write` wrote; nothing in it is executed.

        Raises:
          EOFError: the writer stopped half-way.
        """
        arrays = {}
        for path, dtype, shape in header["arrays"]:
            kind = np.dtype(dtype)
            data = stream.read(math.prod(shape) * kind.itemsize)
            if len(data) != math.prod(shape) * kind.itemsize:
                raise EOFError(path)
            arrays[path] = np.frombuffer(bytearray(data), kind).reshape(shape)
        texts = {(group, name): list(found) for group, name, found in header["texts"]}
        return cls(where=where, groups=frozenset(header["groups"]), texts=texts, arrays=arrays)
