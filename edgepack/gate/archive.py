"""Safe reading of a .keras archive: a zip, or a folder of the same members, never extracted."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

from edgepack import errors

SIZE_LIMIT_BYTES: Final = 2 << 30
CONFIG_LIMIT_BYTES: Final = 64 << 20
MEMBER_LIMIT: Final = 4096
RATIO_LIMIT: Final = 500
"""Keras stores the weights uncompressed; deflate reaches 1,032:1 only on a bomb."""

CONFIG: Final = "config.json"
METADATA: Final = "metadata.json"
WEIGHTS: Final = "model.weights.h5"


class Archive:
    """The members of one .keras file, checked against bombs and odd names before anything is unpacked.

    Args:
      path: a zip file, or the folder that Keras 3 writes with ``zipped=False``.

    Raises:
      ModelError: not a sound .keras archive.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zip: zipfile.ZipFile | None = None
        if path.is_dir():
            self._sizes = {item.name: item.stat().st_size for item in path.iterdir() if item.is_file()}
            return
        try:
            self._zip = zipfile.ZipFile(path)
            self._sizes = _checked_sizes(path, self._zip.infolist())
        except errors.EdgepackError:
            self.close()
            raise
        except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError) as error:
            raise errors.ModelError(
                f"{path}: damaged or truncated .keras archive ({error}); copy or download it again"
            ) from None

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the zip file."""
        if self._zip is not None:
            self._zip.close()

    @property
    def names(self) -> frozenset[str]:
        """All member names."""
        return frozenset(self._sizes)

    def json(self, name: str) -> Any:
        """One member, parsed as JSON."""
        return parse_json(self._read(name, CONFIG_LIMIT_BYTES), f"{self._path}: {name}")

    def weights(self) -> bytes:
        """The bytes of the HDF5 file with the weights."""
        return self._read(WEIGHTS, SIZE_LIMIT_BYTES)

    def _read(self, name: str, limit_bytes: int) -> bytes:
        if name not in self._sizes:
            raise errors.ModelError(
                f"{self._path}: has no {name}, so it is not a complete .keras model; save it again with "
                "model.save()"
            )
        if self._sizes[name] > limit_bytes:
            raise errors.ModelError(
                f"{self._path}: {name} is {self._sizes[name]:,} bytes; the limit is {limit_bytes:,}"
            )
        if self._zip is None:
            return (self._path / name).read_bytes()
        try:
            return self._zip.read(name)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            OSError,
            NotImplementedError,
            RuntimeError,
        ) as error:
            raise errors.ModelError(
                f"{self._path}: {name} cannot be unpacked ({error}); the file is damaged, copy or download "
                "it again"
            ) from None


def parse_json(text: bytes | str, where: str) -> Any:
    """JSON of untrusted origin: no recursion error, no NaN surprises; `where` names it in messages."""
    if len(text) > CONFIG_LIMIT_BYTES:
        raise errors.ModelError(f"{where}: {len(text):,} bytes of JSON; the limit is {CONFIG_LIMIT_BYTES:,}")
    try:
        return json.loads(text)
    except RecursionError:
        raise errors.ModelError(f"{where}: nested too deeply to be a Keras config; refused") from None
    except ValueError as error:
        raise errors.ModelError(f"{where}: not valid JSON ({error}); the file is damaged") from None


def _checked_sizes(path: Path, members: list[zipfile.ZipInfo]) -> dict[str, int]:
    if len(members) > MEMBER_LIMIT:
        raise errors.ModelError(
            f"{path}: {len(members):,} members in the archive; the limit is {MEMBER_LIMIT:,}"
        )
    sizes: dict[str, int] = {}
    for member in members:
        name = member.filename
        if name in sizes:
            raise errors.ModelError(
                f"{path}: member {name!r} appears twice; refused, since readers disagree on which counts"
            )
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or ":" in name or "\0" in name:
            raise errors.ModelError(f"{path}: member {name!r} points outside the archive; refused")
        if (member.external_attr >> 16) & 0o170000 == 0o120000:
            raise errors.ModelError(f"{path}: member {name!r} is a symbolic link; refused")
        if member.flag_bits & 1:
            raise errors.ModelError(
                f"{path}: member {name!r} is encrypted; save the model again without a password"
            )
        if member.file_size > 1 << 20 and member.file_size > RATIO_LIMIT * max(1, member.compress_size):
            raise errors.ModelError(
                f"{path}: member {name!r} unpacks {member.compress_size:,} bytes to {member.file_size:,}: a "
                "zip bomb; refused"
            )
        sizes[name] = member.file_size
    if sum(sizes.values()) > SIZE_LIMIT_BYTES:
        raise errors.ModelError(
            f"{path}: unpacks to {sum(sizes.values()):,} bytes; the limit is {SIZE_LIMIT_BYTES:,}"
        )
    return sizes
