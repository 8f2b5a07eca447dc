"""Two folders, a and b, and the link that says which one counts."""

from __future__ import annotations

import hashlib
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgepack import errors
from edgepack.bundle.envelope import strict_json
from edgepack.bundle.reading import Contents, read_regular
from edgepack.durable import storage_errors, sync_directory, write_atomically
from edgepack.records import canonical_json

NAMES: Final = ("a", "b")
PACKAGE, MODEL, FACTS = "package.edgepack", "model.tflite", "installed.json"
FACTS_BYTES: Final = 10_000
MODEL_BYTES: Final = (1 << 31) - 1


@dataclass(frozen=True, kw_only=True)
class Installed:
    """A package in a slot.

    Attributes:
      slot: "a" or "b".
      sha256: of the package.
      model_sha256: of the .tflite that applications open.
      counter: of the release.
    """

    slot: str
    lineage: str
    version: str
    counter: int
    sha256: str
    model_sha256: str


class Slots:
    """The slots below a state folder.

    Args:
      folder: on persistent storage; a file system with symbolic links.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.link = folder / "current"

    def path(self, slot: str) -> Path:
        return self.folder / "slots" / slot

    def current(self) -> Installed | None:
        """What applications see; None before the first update.

        Raises:
          StorageError: the link leads elsewhere, or what is there was altered.
        """
        if not self.link.is_symlink():
            return None
        target = self.link.readlink()
        slot = target.name
        if target != Path("slots", slot) or slot not in NAMES:
            raise errors.StorageError(f"{self.link}: leads to {target}; expected slots/a or slots/b")
        return self.inspected(slot)

    def inspected(self, slot: str) -> Installed:
        """What lies in a slot, its model hashed.

        Raises:
          StorageError: incomplete or altered.
        """
        folder = self.path(slot)
        try:
            facts = strict_json(
                read_regular(folder / FACTS, FACTS_BYTES, more="are too many"), str(folder / FACTS)
            )
            found = Installed(slot=slot, **{key: facts[key] for key in _KEYS})
            model = read_regular(folder / MODEL, MODEL_BYTES, more="are too many")
        except (errors.EdgepackError, KeyError, TypeError) as error:
            raise errors.StorageError(f"{folder}: is incomplete or damaged ({error}); update again") from None
        if hashlib.sha256(model).hexdigest() != found.model_sha256:
            raise errors.StorageError(f"{folder / MODEL}: was altered (SHA-256 differs); update again")
        return found

    def put(self, contents: Contents, package: bytes, counter: int) -> Installed:
        """Lays a package into the slot that is not current; returns what lies there."""
        slot = self.other()
        found = Installed(
            slot=slot,
            lineage=contents.lineage,
            version=contents.version,
            counter=counter,
            sha256=contents.sha256,
            model_sha256=contents.digests[MODEL],
        )
        working = self.folder / "slots" / f".new-{secrets.token_hex(6)}"
        with storage_errors(working, needed_bytes=2 * len(package)):
            self.clean()
            working.mkdir(parents=True)
            write_atomically(working / PACKAGE, package)
            write_atomically(working / MODEL, contents.members[MODEL])
            facts = {key: getattr(found, key) for key in _KEYS}
            write_atomically(working / FACTS, canonical_json(facts))
            shutil.rmtree(self.path(slot), ignore_errors=True)
            working.rename(self.path(slot))
            sync_directory(self.folder / "slots")
        return found

    def switch(self, slot: str) -> None:
        """Makes a slot the current one by one rename."""
        with storage_errors(self.link):
            fresh = self.folder / f".current-{secrets.token_hex(6)}"
            fresh.symlink_to(f"slots/{slot}")
            fresh.replace(self.link)
            sync_directory(self.folder)

    def drop(self, slot: str) -> None:
        """Empties a slot that is not current."""
        assert slot != self._linked(), "the current slot is never dropped"
        shutil.rmtree(self.path(slot), ignore_errors=True)

    def other(self) -> str:
        """The slot that the next update goes into."""
        return "b" if self._linked() == "a" else "a"

    def _linked(self) -> str | None:
        return self.link.readlink().name if self.link.is_symlink() else None

    def clean(self) -> None:
        """Removes what agents left that were ended half-way."""
        for left in (*(self.folder / "slots").glob(".new-*"), *self.folder.glob(".current-*")):
            left.unlink() if left.is_symlink() else shutil.rmtree(left, ignore_errors=True)


_KEYS: Final = ("lineage", "version", "counter", "sha256", "model_sha256")
