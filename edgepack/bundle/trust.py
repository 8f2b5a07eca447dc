"""Whom to trust, for what, and whom no longer: the trust file, or bare public keys."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgepack import errors, tables
from edgepack.bundle import signing
from edgepack.bundle.reading import Contents

KEYS_OF_FILE: Final = {"edgepack_trust": int, "state": str, "key": list, "revoked": list}
KEYS_OF_KEY: Final = {
    "name": str,
    "file": str,
    "packages": list,
    "from_counter": int,
    "until_counter": int,
    "revoked": str,
}
KEYS_OF_REVOKED: Final = {"package": str, "reason": str}


@dataclass(frozen=True, kw_only=True)
class TrustedKey:
    """A key and what it may sign.

    Attributes:
      name: for people.
      pem: the public key in canonical PEM.
      packages: patterns of package names that it may sign, as in shells.
      from_counter, until_counter: first and last counter that it may sign; None: no limit.
      revoked: why it is no longer trusted at all; "" while it is.
    """

    name: str
    pem: bytes
    packages: tuple[str, ...] = ("*",)
    from_counter: int | None = None
    until_counter: int | None = None
    revoked: str = ""

    @property
    def fingerprint(self) -> str:
        return signing.fingerprint(self.pem)


@dataclass(frozen=True, kw_only=True)
class Trust:
    """A policy.

    Attributes:
      source: where it comes from, for messages.
      keys: of which one must have signed.
      revoked: SHA-256 of packages that must not be used whoever signed them → why.
      state: file that remembers counters against rollback; None remembers nothing.
    """

    source: str
    keys: tuple[TrustedKey, ...]
    revoked: Mapping[str, str] = field(default_factory=dict)
    state: Path | None = None

    @classmethod
    def of_keys(cls, paths: Sequence[Path]) -> Trust:
        """Trusts these public keys for everything.

        Raises:
          BadInputError, StorageError: one is no P-256 public key, or cannot be read.
        """
        keys = tuple(TrustedKey(name=path.name, pem=signing.read_public_key(path)) for path in paths)
        return cls(source=", ".join(map(str, paths)), keys=keys)

    @classmethod
    def of_file(cls, path: Path) -> Trust:
        """Reads a trust file; format in README.md.

        Raises:
          RecipeError: it is no trust file; names table and key.
          BadInputError, StorageError: a key that it names is none, or cannot be read.
        """
        document = tables.read(path, noun="trust file")
        _require(document, KEYS_OF_FILE, f"{path}", needed=("edgepack_trust", "key"))
        if document["edgepack_trust"] != 1:
            raise errors.RecipeError(
                f'{path}: "edgepack_trust": expected 1, the format that this edgepack reads'
            )
        keys = tuple(
            _key(table, f"{path}: [[key]] {number}", path.parent)
            for number, table in enumerate(document["key"], 1)
        )
        for what, values in (("name", [key.name for key in keys]), ("key", [key.pem for key in keys])):
            if len(set(values)) != len(values):
                raise errors.RecipeError(f"{path}: two [[key]] have the same {what}; expected each once")
        revoked = dict(
            _revoked(table, f"{path}: [[revoked]] {number}")
            for number, table in enumerate(document.get("revoked", []), 1)
        )
        state = path.parent / document["state"] if "state" in document else None
        return cls(source=str(path), keys=keys, revoked=revoked, state=state)

    def key_of(self, hint: str, what: str) -> TrustedKey:
        """The key with this fingerprint.

        Raises:
          TrustError: none is trusted, or it is revoked.
        """
        for key in self.keys:
            if key.fingerprint == hint:
                if key.revoked:
                    raise errors.TrustError(
                        f"{what}: is signed by the key {key.name!r}, which {self.source} revokes: {key.revoked}"
                    )
                return key
        raise errors.TrustError(
            f"{what}: is signed by the key {hint[:16]}…, which is not among the trusted ones: "
            + ", ".join(f"{key.fingerprint[:16]}… ({key.name})" for key in self.keys)
        )

    def permit(self, contents: Contents, key: TrustedKey, counter: int | None) -> None:
        """Passes where `key` may sign this package and nobody called it back.

        Raises:
          TrustError: it may not.
        """
        path = contents.path
        if contents.sha256 in self.revoked:
            raise errors.TrustError(
                f"{path}: was called back by {self.source}: {self.revoked[contents.sha256]}"
            )
        if not any(fnmatch.fnmatchcase(contents.name, pattern) for pattern in key.packages):
            raise errors.TrustError(
                f"{path}: the key {key.name!r} may sign {', '.join(key.packages)}, not {contents.name!r}"
            )
        if key.from_counter is None and key.until_counter is None:
            return
        if counter is None:
            raise errors.TrustError(
                f"{path}: its signature has no counter, and the key {key.name!r} is limited to some; "
                "sign with 'edgepack sign'"
            )
        first, last = key.from_counter or 0, key.until_counter
        if counter < first or (last is not None and counter > last):
            raise errors.TrustError(
                f"{path}: has the counter {counter}; the key {key.name!r} may sign "
                f"{first} to {'any' if last is None else last}"
            )


def _key(table: Any, where: str, folder: Path) -> TrustedKey:
    _require(table, KEYS_OF_KEY, where, needed=("name", "file"))
    packages = table.get("packages", ["*"])
    if not packages or not all(type(pattern) is str for pattern in packages):
        raise errors.RecipeError(f'{where} "packages": expected a list of name patterns such as "kws-*"')
    return TrustedKey(
        name=table["name"],
        pem=signing.read_public_key(folder / table["file"]),
        packages=tuple(packages),
        from_counter=table.get("from_counter"),
        until_counter=table.get("until_counter"),
        revoked=table.get("revoked", ""),
    )


def _revoked(table: Any, where: str) -> tuple[str, str]:
    _require(table, KEYS_OF_REVOKED, where, needed=("package", "reason"))
    digest = table["package"]
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise errors.RecipeError(f'{where} "package": expected the SHA-256 of the file (64 hex digits)')
    return digest, table["reason"]


def _require(table: Any, known: Mapping[str, type], where: str, *, needed: Sequence[str]) -> None:
    """Every key known and of its type, none of the needed ones missing, no text empty."""
    if not isinstance(table, dict):
        raise errors.RecipeError(f"{where}: expected a table")
    for name, value in table.items():
        if name not in known:
            raise errors.RecipeError(f'{where} "{name}": unknown key{tables.nearest(name, known)}')
        if type(value) is not known[name] or value == "":
            raise errors.RecipeError(f'{where} "{name}": expected {NOUNS[known[name]]}; got {value!r}')
    for name in needed:
        if name not in table:
            raise errors.RecipeError(f'{where} "{name}": is missing')


NOUNS: Final = {int: "an integer", str: "some text", list: "a list"}
