"""Verification: the one way from a file to a VerifiedBundle."""

from __future__ import annotations

from dataclasses import InitVar, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgepack import errors
from edgepack.bundle import envelope, rollback, signing, statement
from edgepack.bundle.reading import Contents, read_contents
from edgepack.bundle.trust import Trust, TrustedKey

if TYPE_CHECKING:
    from edgepack.bundle.package import Package

SIGNATURE_SUFFIX: Final = ".sig"
_DOOR: Final = object()
"""Only this module has it, so only `verify` makes a VerifiedBundle."""


@dataclass(frozen=True, kw_only=True)
class VerifiedBundle:
    """A package that a trusted key signed, every byte of it. Only `verify` makes one.

    Attributes:
      contents: its bytes, as they were verified: use these, and don't read the file again.
      key: who signed.
      counter: against rollback; None where another tool signed, which has none.
      signature: the text of the signature file, to travel along.
    """

    contents: Contents
    key: TrustedKey
    counter: int | None
    signature: bytes
    door: InitVar[object]

    def __post_init__(self, door: object) -> None:
        if door is not _DOOR:
            raise TypeError("only edgepack.bundle.verify makes a VerifiedBundle")

    def package(self) -> Package:
        """The package, golden vectors decoded (needs numpy).

        Raises:
          PackageError: they don't fit their description.
        """
        from edgepack.bundle.package import package_of

        return package_of(self.contents)


def signature_path(package: Path) -> Path:
    """Where a package's signature lies: beside it, `.sig` added to the name."""
    return package.with_name(package.name + SIGNATURE_SUFFIX)


def verify(
    path: Path, trust: Trust, *, signature: Path | None = None, rollback_protection: bool = True
) -> VerifiedBundle:
    """Reads a package once, and vouches for these bytes if a trusted key does. Records nothing.

    Args:
      signature: where it is not beside the package.
      rollback_protection: whether to look at the policy's state; not where packages are only delivered or measured.

    Raises:
      PackageError: the package is broken, or not in its one canonical form.
      TrustError: nobody trusted signed it, it was called back, or a newer one was seen.
      StorageError: a file cannot be read.
    """
    contents = read_contents(path)
    sidecar = signature or signature_path(path)
    found = envelope.read_envelope(sidecar)
    key = trust.key_of(found.hint, str(sidecar))
    if not signing.verifies(key.pem, found.signature, found.payload):
        raise errors.TrustError(
            f"{sidecar}: the signature is not one by the key {key.name!r}: it was changed"
        )
    counter = statement.check(found.payload, contents.digests, str(sidecar))
    trust.permit(contents, key, counter)
    if trust.state is not None and rollback_protection:
        rollback.check(trust.state, contents, counter)
    return VerifiedBundle(contents=contents, key=key, counter=counter, signature=found.encode(), door=_DOOR)


def accept(bundle: VerifiedBundle, trust: Trust) -> None:
    """Remembers a verified package as the newest of its lineage, where the policy has a memory.

    To be called when the package is taken into use: older ones are refused from then on.

    Raises:
      TrustError: another process has accepted a newer one meanwhile.
      StorageError: the state cannot be written.
    """
    if trust.state is not None:
        rollback.record(trust.state, bundle.contents, bundle.counter)
