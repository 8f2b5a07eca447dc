"""What `deliver`, devices and runners let in: a verified package, or one whose user says aloud that it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, Union

from edgepack import errors
from edgepack.bundle.reading import Contents, read_contents
from edgepack.bundle.trust import Trust
from edgepack.bundle.verification import VerifiedBundle, verify

if TYPE_CHECKING:
    from edgepack.bundle.package import Package


@dataclass(frozen=True, kw_only=True)
class UnsignedBundle:
    """A sound package that nobody vouches for, used because its user said ``--allow-unsigned``."""

    contents: Contents
    signature: None = None
    """One beside it, if any, was not verified, and is no one's concern."""

    def package(self) -> Package:
        """The package, golden vectors decoded (needs numpy).

        Raises:
          PackageError: they don't fit their description.
        """
        from edgepack.bundle.package import package_of

        return package_of(self.contents)


Bundle: TypeAlias = Union[VerifiedBundle, UnsignedBundle]  # noqa: UP007 (3.10)


def admit(
    path: Path,
    *,
    keys: Sequence[Path] = (),
    trust: Path | None = None,
    signature: Path | None = None,
    allow_unsigned: bool = False,
) -> Bundle:
    """Lets a package in, by public keys or a trust file; without either only where `allow_unsigned`.

    A package that is only passed on or measured is no update of this machine: counters are not compared with a state.

    Raises:
      TrustError: nobody trusted signed it, or nothing says whom to trust.
      PackageError, BadInputError, StorageError: a file is broken or cannot be read.
    """
    if keys or trust is not None:
        policy = trust_of(keys, trust)
        return verify(path, policy, signature=signature, rollback_protection=False)
    if allow_unsigned:
        return UnsignedBundle(contents=read_contents(path))
    raise errors.TrustError(
        f"{path}: only packages are taken whose signature verifies; say by which --key or --trust, or --allow-unsigned"
    )


def trust_of(keys: Sequence[Path], trust: Path | None) -> Trust:
    """The policy that a command's --key and --trust stand for.

    Raises:
      BadInputError: both or neither are given, or a file is no such thing.
      StorageError: a file cannot be read.
    """
    if (trust is None) == (not keys):
        raise errors.BadInputError(
            "expected either public keys (--key) or a trust file (--trust) that names them"
        )
    return Trust.of_file(trust) if trust is not None else Trust.of_keys(keys)
