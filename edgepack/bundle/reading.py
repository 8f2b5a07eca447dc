"""A package's bytes, taken in once and checked: what `read` and `verify` both start from. Runs nothing, needs no numpy."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.bundle import archive
from edgepack.durable import storage_errors
from edgepack.records import canonical_json

FORMAT: Final = "edgepack.package/1"
PAYLOADS: Final = ("model.tflite", "golden.bin", "recipe.toml")
"""What every package has besides its manifest."""
RESERVED: Final = ("format", "members", "golden")
MAX_BYTES: Final = sum(archive.MEMBER_LIMITS_BYTES.values()) + 4096


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A package whose container, manifest and digests are sound. Golden vectors are not yet looked into.

    Attributes:
      path: where it was read.
      sha256: of the whole file.
      manifest: what it says of its model.
      members: the files, as they were read: nobody can change them afterwards.
      digests: their SHA-256.
    """

    path: Path
    sha256: str
    manifest: Mapping[str, Any]
    members: Mapping[str, bytes]
    digests: Mapping[str, str]

    @property
    def name(self) -> str:
        name: str = self.manifest["name"]
        return name

    @property
    def version(self) -> str:
        version: str = self.manifest["version"]
        return version

    @property
    def lineage(self) -> str:
        """What later packages replace it: its name, and the device it is for."""
        device = self.manifest.get("device")
        return f"{self.name}@{device['name']}" if isinstance(device, dict) and "name" in device else self.name


def read_contents(path: Path) -> Contents:
    """Reads and checks a package that nobody vouches for, from bytes that are read exactly once.

    Raises:
      PackageError: says which defect it has.
      StorageError: it cannot be read.
    """
    data = read_regular(path, MAX_BYTES, more="are more than a package can have")
    members = archive.read(data, str(path))
    manifest = _manifest(members["manifest.json"], str(path))
    listed = manifest["members"]
    payloads = [name for name in members if name != "manifest.json"]
    if not isinstance(listed, dict) or set(listed) != set(payloads):
        raise errors.PackageError(f"{path}: its manifest lists other members than {', '.join(payloads)}")
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    for name in payloads:
        if listed[name] != {"sha256": digests[name], "bytes": len(members[name])}:
            raise errors.PackageError(
                f"{path}: {name} is not what its manifest says (SHA-256 or size differ)"
            )
    sha256 = hashlib.sha256(data).hexdigest()
    return Contents(path=path, sha256=sha256, manifest=manifest, members=members, digests=digests)


def read_regular(path: Path, limit_bytes: int, *, more: str, follow_links: bool = True) -> bytes:
    """A file's bytes, if it is a file and no larger than `limit_bytes`: no device, pipe or endless thing.

    Args:
      more: ends the sentence about a file that is too large.
      follow_links: whether `path` itself may be a symbolic link.

    Raises:
      PackageError: too large, or no regular file.
      StorageError: it cannot be read.
    """
    with storage_errors(path):
        if not follow_links and path.is_symlink():
            raise errors.PackageError(f"{path}: is a symbolic link; expected the file itself")
        flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
        with os.fdopen(os.open(path, flags), "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise errors.PackageError(f"{path}: is not a regular file")
            if facts.st_size > limit_bytes:
                raise errors.PackageError(f"{path}: {facts.st_size:,} bytes {more}")
            return file.read(limit_bytes)


def _manifest(text: bytes, source: str) -> dict[str, Any]:
    try:
        document = json.loads(text.decode())
        is_canonical = canonical_json(document) == text
    except (ValueError, RecursionError, errors.BadInputError) as error:
        raise errors.PackageError(f"{source}: manifest.json is not JSON: {error}") from error
    if not isinstance(document, dict) or not {*RESERVED, "name", "version"} <= set(document):
        raise errors.PackageError(
            f"{source}: manifest.json lacks one of {', '.join(RESERVED)}, name, version"
        )
    if not isinstance(document["name"], str) or not isinstance(document["version"], str):
        raise errors.PackageError(f"{source}: name and version in manifest.json are no texts")
    if document["format"] != FORMAT:
        raise errors.PackageError(
            f"{source}: has the format {document['format']!r}; this edgepack reads {FORMAT}"
        )
    if not is_canonical:
        raise errors.PackageError(
            f"{source}: manifest.json is not in canonical form (sorted keys, no spaces)"
        )
    return document
