"""The one door to `cryptography`: P-256 keys, deterministic ECDSA (RFC 6979) and its verification."""

from __future__ import annotations

import hashlib
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edgepack import errors
from edgepack.bundle.envelope import Envelope, pae
from edgepack.bundle.reading import Contents, read_regular
from edgepack.bundle.statement import statement

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric import ec

PRIVATE_NAME: Final = "edgepack.key"
PUBLIC_NAME: Final = "edgepack.pub"
MAX_KEY_BYTES: Final = 16_000
SIGNER_TIMEOUT_S: Final = 300
"""An HSM may wait for a finger."""

Signer = Callable[[bytes], bytes]
"""Takes the SHA-256 digest (32 bytes) of what is signed, gives the ECDSA signature in DER."""


def generate(passphrase: bytes | None = None) -> tuple[bytes, bytes]:
    """A new P-256 key: (private, PKCS#8 PEM, encrypted where a passphrase is given; public, SubjectPublicKeyInfo PEM)."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    protection: Any = (
        serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    return private, _pem(key.public_key())


def read_public_key(path: Path) -> bytes:
    """A public key in canonical PEM; its SHA-256 is the fingerprint.

    Raises:
      BadInputError: no P-256 public key.
      StorageError: it cannot be read.
    """
    return _pem(_public(_read_key(path), str(path)))


def fingerprint(public_pem: bytes) -> str:
    """SHA-256 of the canonical PEM: the hint that model-signing, too, gives a key."""
    return hashlib.sha256(public_pem).hexdigest()


def key_signer(path: Path, passphrase: Callable[[], bytes] | None = None) -> tuple[Signer, bytes]:
    """A signer by a private key in a file, and its public key.

    Args:
      passphrase: asked where the key is encrypted.

    Raises:
      BadInputError: no P-256 private key, or a wrong passphrase.
      StorageError: it cannot be read.
    """
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    key = _private(_read_key(path), path, passphrase)
    algorithm = ec.ECDSA(utils.Prehashed(hashes.SHA256()), deterministic_signing=True)
    return lambda digest: key.sign(digest, algorithm), _pem(key.public_key())


def command_signer(command: str) -> Signer:
    """A signer by a program of the user's: the digest (32 bytes) on its stdin, the DER signature from its stdout.

    Raises (the signer):
      DeviceError: the program is not there, fails, or takes too long.
    """

    def sign(digest: bytes) -> bytes:
        try:
            words = shlex.split(command)
            answer = subprocess.run(
                words, input=digest, stdout=subprocess.PIPE, check=False, timeout=SIGNER_TIMEOUT_S
            )
        except (OSError, ValueError, IndexError) as error:
            raise errors.DeviceError(f"--signer {command!r}: cannot be run: {error}") from None
        except subprocess.TimeoutExpired:
            raise errors.DeviceError(
                f"--signer {command!r}: gave no answer in {SIGNER_TIMEOUT_S} s"
            ) from None
        if answer.returncode != 0:
            raise errors.DeviceError(f"--signer {command!r}: failed with exit code {answer.returncode}")
        return answer.stdout

    return sign


def sign(contents: Contents, signer: Signer, public_pem: bytes, *, counter: int) -> Envelope:
    """The envelope for a package; the signature is verified before anybody gets to see it.

    Raises:
      GateError: the package was kept although it missed a budget or a promise; it must not ship.
      TrustError: the signer's answer is no signature by this key.
    """
    if contents.manifest.get("status") == "failed":
        raise errors.GateError(
            f"{contents.path}: was kept for a look although its build failed: {'; '.join(contents.manifest['reasons'])}; "
            "sign one that passed"
        )
    payload = statement(contents.digests, subject=f"{contents.name}-{contents.version}", counter=counter)
    signature = signer(hashlib.sha256(pae(payload)).digest())
    if not verifies(public_pem, signature, payload):
        raise errors.TrustError(
            "the signer's answer is no signature by the given public key; expected ECDSA P-256 in DER, over the digest "
            "on its stdin"
        )
    return Envelope(payload=payload, signature=signature, hint=fingerprint(public_pem))


def verifies(public_pem: bytes, signature: bytes, payload: bytes) -> bool:
    """Whether a key signed a payload. (r, n − s) counts like (r, s): nothing is known by its signature's bytes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        _public(public_pem, "key").verify(signature, pae(payload), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _read_key(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_KEY_BYTES, more="are more than a key can have")
    except errors.PackageError as error:
        raise errors.BadInputError(str(error)) from None


def _public(pem: bytes, source: str) -> ec.EllipticCurvePublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if b"PRIVATE KEY" in pem:
        raise errors.BadInputError(f"{source}: is a private key; expected the public one ({PUBLIC_NAME})")
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise errors.BadInputError(
            f"{source}: is no public key in PEM; expected {PUBLIC_NAME}, as 'edgepack keygen' writes it"
        ) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise errors.BadInputError(f"{source}: is no P-256 key; make one with 'edgepack keygen'")
    return key


def _private(pem: bytes, path: Path, passphrase: Callable[[], bytes] | None) -> ec.EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    encrypted = b"ENCRYPTED" in pem
    secret = passphrase() if encrypted and passphrase is not None else None
    try:
        key = serialization.load_pem_private_key(pem, secret)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        why = "the passphrase does not open it" if encrypted else "is no private key in PEM"
        raise errors.BadInputError(
            f"{path}: {why}; expected {PRIVATE_NAME}, as 'edgepack keygen' writes it"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise errors.BadInputError(f"{path}: is no P-256 key; make one with 'edgepack keygen'")
    return key


def _pem(key: ec.EllipticCurvePublicKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
