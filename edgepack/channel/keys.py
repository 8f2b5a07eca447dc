"""The keys of a channel's four roles, one PEM file each. They never lie in the repository that is published."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.durable import storage_errors, write_new

ROLES: Final = ("root", "targets", "snapshot", "timestamp")


def generate(folder: Path, role: str) -> Any:
    """A new Ed25519 key in `role-keyid.pem`.

    Returns:
      A signer of securesystemslib.

    Raises:
      StorageError: the file cannot be written.
    """
    from securesystemslib.signer import CryptoSigner

    signer = CryptoSigner.generate_ed25519()
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_new(_file(folder, role, signer.public_key.keyid), signer.private_bytes, mode=0o600)
    return signer


def signers(folder: Path, role: str, wanted: Mapping[str, Any]) -> list[Any]:
    """The signers whose keys are at hand, of those that a role trusts.

    Args:
      wanted: key id → public key, as the root metadata has them.

    Raises:
      BadInputError: a file is not the key that it is named for.
    """
    from securesystemslib.signer import CryptoSigner

    os.environ.pop(CryptoSigner.PREFIX_ENV_VAR, None)  # would be put before the path
    found = []
    for identity, key in sorted(wanted.items()):
        path = _file(folder, role, identity)
        if not path.is_file():
            continue
        try:
            found.append(CryptoSigner.from_priv_key_uri(f"{CryptoSigner.SCHEME}:{path.resolve()}", key))
        except (ValueError, TypeError, OSError) as error:
            raise errors.BadInputError(f"{path}: is not the key that it is named for ({error})") from None
    return found


def _file(folder: Path, role: str, identity: str) -> Path:
    return folder / f"{role}-{identity[:16]}.pem"
