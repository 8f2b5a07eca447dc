"""The sidecar `PACKAGE.sig`: a DSSE envelope in a sigstore bundle, with exactly one form for given contents.

DSSE: https://github.com/secure-systems-lab/dsse/blob/v1.0.0/protocol.md; the bundle:
https://docs.sigstore.dev/about/bundle/, media type v0.3, as OpenSSF model-signing writes it for a key of one's own.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.bundle.reading import read_regular

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
MAX_BYTES: Final = 64_000
HINT: Final = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Envelope:
    """What a sidecar says.

    Attributes:
      payload: the signed text: an in-toto statement.
      signature: ECDSA over `pae(payload)`, in DER.
      hint: fingerprint of the key that signed. Nobody signed the hint: it only finds the key.
    """

    payload: bytes
    signature: bytes
    hint: str

    def encode(self) -> bytes:
        """The one text of this envelope, byte for byte what model-signing 1.1 writes."""
        document = {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": self.hint}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(self.payload).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": base64.b64encode(self.signature).decode(), "keyid": ""}],
            },
        }
        return json.dumps(document, separators=(",", ":")).encode()


def pae(payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding.

    Example:
      >>> pae(b"{}")
      b'DSSEv1 28 application/vnd.in-toto+json 2 {}'
    """
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def read_envelope(path: Path) -> Envelope:
    """Reads a sidecar that nobody vouches for.

    Raises:
      TrustError: there is none, or it has another form than the one that `Envelope.encode` writes.
      StorageError: it cannot be read.
    """
    if not path.is_symlink() and not path.exists():
        raise errors.TrustError(
            f"{path}: no such file, so the package is not signed; sign it with 'edgepack sign', or get its signature"
        )
    try:
        text = read_regular(
            path, MAX_BYTES, more=f"are more than a signature can have ({MAX_BYTES:,})", follow_links=False
        )
    except errors.PackageError as error:
        raise errors.TrustError(str(error)) from None
    return decode(text, str(path))


def decode(text: bytes, source: str) -> Envelope:
    """Inverse of `Envelope.encode`; any other text is refused, so that no two readers can understand it differently.

    Raises:
      TrustError: says what is wrong.
    """
    document = strict_json(text, f"{source}: the signature file")
    envelope = _envelope(document, source)
    if envelope.encode() != text:
        raise errors.TrustError(
            f"{source}: has unsigned additions or another form than signatures have (spaces, order, further keys)"
        )
    return envelope


def strict_json(text: bytes, what: str) -> Any:
    """JSON in which no key comes twice and every number is finite.

    Raises:
      TrustError: it is not; begins with `what`.
    """
    try:
        return json.loads(text.decode(), object_pairs_hook=_distinct, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise errors.TrustError(f"{what} is not JSON as it should be: {error}") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in names if names.count(name) > 1)!r} comes twice")
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _envelope(document: Any, source: str) -> Envelope:
    try:
        media_type, material = document["mediaType"], document["verificationMaterial"]
        dsse = document["dsseEnvelope"]
        payload_type, signatures = dsse["payloadType"], dsse["signatures"]
        if media_type != MEDIA_TYPE:
            raise errors.TrustError(f"{source}: has the media type {media_type!r}; expected {MEDIA_TYPE}")
        if payload_type != PAYLOAD_TYPE:
            raise errors.TrustError(
                f"{source}: has the payload type {payload_type!r}; expected {PAYLOAD_TYPE}"
            )
        if type(signatures) is not list or len(signatures) != 1:
            raise errors.TrustError(f"{source}: must hold exactly one signature")
        if "publicKey" not in material:
            raise errors.TrustError(
                f"{source}: was not made with a key (but a certificate or an identity); expected a P-256 key's"
            )
        hint = material["publicKey"]["hint"]
        if type(hint) is not str or HINT.fullmatch(hint) is None:
            raise errors.TrustError(f"{source}: its hint is no fingerprint of a key (64 hex digits)")
        return Envelope(
            payload=_decoded(dsse["payload"]), signature=_decoded(signatures[0]["sig"]), hint=hint
        )
    except (KeyError, TypeError, ValueError) as error:
        raise errors.TrustError(
            f"{source}: is no signature of a package: {type(error).__name__} {error}"
        ) from None


def _decoded(text: Any) -> bytes:
    if type(text) is not str:
        raise ValueError("expected base64 text")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"broken base64: {error}") from None
