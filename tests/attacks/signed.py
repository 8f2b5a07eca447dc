"""Signed packages, and what somebody may do to them. Made in code: every attack says what it changes.

A `Scene` is a folder with one package that is signed and trusted. An attack changes something in it; verification must
then refuse with the attack's exit code and words.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from edgepack.bundle import archive, envelope, signing, statement
from edgepack.bundle.reading import read_contents
from edgepack.records import Json, canonical_json
from edgepack.runtime.golden import Golden, OutputCheck

KEYS = {
    name: ec.derive_private_key(number, ec.SECP256R1())
    for name, number in (("ours", 7), ("next", 8), ("evil", 9))
}
"""Known to everybody, and always the same."""


def package_bytes(
    *,
    name: str = "digits",
    version: str = "1.0.0",
    device: str | None = None,
    model: bytes = b"model" * 299,
    **more: Json,
) -> bytes:
    """A sound package around bytes that are no model: nothing here runs it."""
    golden = Golden(
        model_sha256=hashlib.sha256(model).hexdigest(),
        inputs={"x": np.zeros((2, 3), np.int8)},
        outputs={"y": np.zeros((2, 1), np.int8)},
        runtime="litert",
        version="2.3.0",
        source="synthetic",
        seed=0,
        checks=(OutputCheck(name="y", difference=0.0, tolerance=2.0, argmax_agreement=None),),
    )
    table, vectors = golden.encode()
    payloads = {"model.tflite": model, "golden.bin": vectors, "recipe.toml": b'name = "digits"\n'}
    members: dict[str, Json] = {
        member: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for member, content in payloads.items()
    }
    manifest: dict[str, Json] = {
        "format": "edgepack.package/1",
        "name": name,
        "version": version,
        "device": {"name": device} if device else None,
        "members": members,
        "golden": table,
        **more,
    }
    return archive.write({"manifest.json": canonical_json(manifest), **payloads})


def private_pem(name: str) -> bytes:
    return KEYS[name].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(name: str) -> bytes:
    return (
        KEYS[name]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def signature(payload: bytes, key: str = "ours", payload_type: str = envelope.PAYLOAD_TYPE) -> bytes:
    """A good signature, made without edgepack's own code."""
    signed = b"DSSEv1 %d %s %d %s" % (len(payload_type), payload_type.encode(), len(payload), payload)
    return KEYS[key].sign(signed, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


@dataclass
class Scene:
    """A folder in which `package` is signed by "ours" with the counter of its version."""

    folder: Path
    package: Path = field(init=False)
    sidecar: Path = field(init=False)
    key: Path = field(init=False)
    state: Path = field(init=False)

    def __post_init__(self) -> None:
        self.package = self.folder / "digits.edgepack"
        self.sidecar = self.folder / "digits.edgepack.sig"
        self.key = self.folder / "ours.pub"
        self.state = self.folder / "counters.json"
        for name in KEYS:
            (self.folder / f"{name}.pub").write_bytes(public_pem(name))
            (self.folder / f"{name}.key").write_bytes(private_pem(name))
        self.release()

    def release(self, key: str = "ours", counter: int | None = None, **package: Any) -> None:
        """Puts another package in its place, signed."""
        self.package.write_bytes(package_bytes(**package))
        contents = read_contents(self.package)
        number = statement.counter_of(contents.version) if counter is None else counter
        signer, public = signing.key_signer(self.folder / f"{key}.key")
        self.sidecar.write_bytes(signing.sign(contents, signer, public, counter=number).encode())

    def trust(self, text: str = "", key: str = "") -> Path:
        """A trust file for the key "ours", with `key` added to its table and `text` to the end."""
        path = self.folder / "trust.toml"
        path.write_text(f'edgepack_trust = 1\n{text}\n[[key]]\nname = "ours"\nfile = "ours.pub"\n{key}\n')
        return path

    def sidecar_document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.sidecar.read_bytes())
        return document

    def statement(self) -> dict[str, Any]:
        payload = base64.b64decode(self.sidecar_document()["dsseEnvelope"]["payload"])
        document: dict[str, Any] = json.loads(payload)
        return document

    def sign_payload(self, payload: bytes, key: str = "ours") -> None:
        """Writes the sidecar for any text that somebody with a key could sign."""
        self.write_sidecar(payload, signature(payload, key), key)

    def write_sidecar(self, payload: bytes, der: bytes, key: str = "ours") -> None:
        hint = hashlib.sha256(public_pem(key)).hexdigest()
        self.sidecar.write_bytes(envelope.Envelope(payload=payload, signature=der, hint=hint).encode())

    @property
    def payload(self) -> bytes:
        return base64.b64decode(self.sidecar_document()["dsseEnvelope"]["payload"])

    @property
    def der(self) -> bytes:
        return base64.b64decode(self.sidecar_document()["dsseEnvelope"]["signatures"][0]["sig"])


Attack = Callable[[Scene], object]


def changed_document(change: Callable[[dict[str, Any]], object]) -> Attack:
    """Changes something outside the signature and writes the text as it is written."""

    def attack(scene: Scene) -> None:
        document = scene.sidecar_document()
        change(document)
        scene.sidecar.write_bytes(json.dumps(document, separators=(",", ":")).encode())

    return attack


def changed_text(change: Callable[[bytes], bytes]) -> Attack:
    return lambda scene: scene.sidecar.write_bytes(change(scene.sidecar.read_bytes()))


def changed_statement(change: Callable[[dict[str, Any]], object]) -> Attack:
    """A statement that the trusted key did sign, but that a package's must not be."""

    def attack(scene: Scene) -> None:
        document = scene.statement()
        change(document)
        scene.sign_payload(canonical_json(document))

    return attack


def changed_signature(change: Callable[[bytes], bytes]) -> Attack:
    return lambda scene: scene.write_sidecar(scene.payload, change(scene.der))


def numbers(change: Callable[[int, int], tuple[int, int]]) -> Attack:
    """Other numbers than r and s, in good DER."""
    return changed_signature(
        lambda der: utils.encode_dss_signature(*change(*utils.decode_dss_signature(der)))
    )


def _another_package(scene: Scene) -> None:
    genuine = scene.package.read_bytes()
    scene.release(model=b"other")
    scene.package.write_bytes(genuine)


def _payload_of_another_package(scene: Scene) -> None:
    der = scene.der
    scene.release(model=b"other")
    scene.write_sidecar(scene.payload, der)


def _manifest_says_more(scene: Scene) -> None:
    members = dict(archive.read(scene.package.read_bytes(), "good"))
    manifest = {**json.loads(members["manifest.json"]), "hint": "run this as root"}
    scene.package.write_bytes(archive.write({**members, "manifest.json": canonical_json(manifest)}))


def _symlinked(scene: Scene) -> None:
    elsewhere = scene.folder / "elsewhere"
    scene.sidecar.rename(elsewhere)
    scene.sidecar.symlink_to(elsewhere)


def _pipe(scene: Scene) -> None:
    scene.sidecar.unlink()
    os.mkfifo(scene.sidecar)


def _folder(scene: Scene) -> None:
    scene.sidecar.unlink()
    scene.sidecar.mkdir()


def _resource(statement: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (each for each in statement["predicate"]["resources"] if each["name"] == name)
    assert isinstance(found, dict)
    return found


def _rooted(statement: dict[str, Any]) -> None:
    """Makes the subject's digest fit whatever is listed."""
    digests = b"".join(bytes.fromhex(each["digest"]) for each in statement["predicate"]["resources"])
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(digests).hexdigest()


def _relisted(change: Callable[[list[dict[str, Any]]], object]) -> Attack:
    def attack(document: dict[str, Any]) -> None:
        change(document["predicate"]["resources"])
        _rooted(document)

    return changed_statement(attack)


EXTRA = {"algorithm": "sha256", "digest": "0" * 64, "name": "setup.py"}
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

SIGNATURE_FILE: Mapping[str, tuple[Attack, str]] = {
    "missing": (lambda scene: scene.sidecar.unlink(), "is not signed"),
    "empty": (changed_text(lambda text: b""), "is not JSON"),
    "cut off": (changed_text(lambda text: text[:-1]), "is not JSON"),
    "giant": (changed_text(lambda text: text + b" " * 64_000), "more than a signature"),
    "symbolic link": (_symlinked, "is a symbolic link"),
    "pipe": (_pipe, "not a regular file"),
    "not UTF-8": (changed_text(lambda text: b"\xff" + text), "is not JSON"),
    "byte order mark": (changed_text(lambda text: b"\xef\xbb\xbf" + text), "is not JSON"),
    "nested deeply": (changed_text(lambda text: b"[" * 60_000), "is not JSON"),
    "a list": (changed_text(lambda text: b"[]"), "is no signature"),
    "a number": (changed_text(lambda text: b"1e999999"), "is no signature"),
    "NaN": (changed_text(lambda text: text.replace(b"[]", b"[NaN]")), "is not JSON"),
    "huge integer": (
        changed_text(lambda text: text.replace(b"[]", b"[" + b"9" * 5000 + b"]")),
        "JSON|another form",
    ),
    "line break at the end": (changed_text(lambda text: text + b"\n"), "another form"),
    "spaces": (changed_text(lambda text: text.replace(b":", b": ")), "another form"),
    "escaped letters": (changed_text(lambda text: text.replace(b"sig", rb"\u0073ig", 1)), "another form"),
    "sorted": (changed_text(lambda text: canonical_json(json.loads(text))), "another form"),
    "key twice": (
        changed_text(lambda text: text.replace(b'"keyid":""', b'"keyid":"","keyid":""')),
        "'keyid' comes twice",
    ),
    "payload twice": (
        changed_text(lambda text: text.replace(b'"payload":"', b'"payload":"e30=","payload":"')),
        "'payload' comes twice",
    ),
    "unsigned addition": (changed_document(lambda all: all.update(note="urgent")), "unsigned additions"),
    "unsigned addition beside the key": (
        changed_document(lambda all: all["verificationMaterial"].update(rawBytes="AAAA")),
        "unsigned additions",
    ),
    "unsigned key id": (
        changed_document(lambda all: all["dsseEnvelope"]["signatures"][0].update(keyid="root")),
        "unsigned additions",
    ),
    "unsigned log entry": (
        changed_document(lambda all: all["verificationMaterial"]["tlogEntries"].append({})),
        "unsigned additions",
    ),
    "other media type": (
        changed_document(lambda all: all.update(mediaType="application/json")),
        "media type 'application/json'",
    ),
    "other payload type": (
        changed_document(lambda all: all["dsseEnvelope"].update(payloadType="text/plain")),
        "payload type 'text/plain'",
    ),
    "two signatures": (
        changed_document(lambda all: all["dsseEnvelope"]["signatures"].append({"sig": "AAAA", "keyid": ""})),
        "exactly one signature",
    ),
    "no signature": (changed_document(lambda all: all["dsseEnvelope"]["signatures"].clear()), "exactly one"),
    "a certificate instead of a key": (
        changed_document(lambda all: all.update(verificationMaterial={"certificate": {"rawBytes": "AAAA"}})),
        "not made with a key",
    ),
    "no envelope": (changed_document(lambda all: all.pop("dsseEnvelope")), "is no signature"),
    "hint of another trusted one": (
        changed_document(
            lambda all: all["verificationMaterial"]["publicKey"].update(
                hint=hashlib.sha256(public_pem("evil")).hexdigest()
            )
        ),
        "not among the trusted ones",
    ),
    "no hint": (
        changed_document(lambda all: all["verificationMaterial"]["publicKey"].update(hint="")),
        "no fingerprint",
    ),
    "hint a number": (
        changed_document(lambda all: all["verificationMaterial"]["publicKey"].update(hint=7)),
        "no fingerprint",
    ),
    "hint in upper case": (
        changed_document(
            lambda all: all["verificationMaterial"]["publicKey"].update(
                hint=hashlib.sha256(public_pem("ours")).hexdigest().upper()
            )
        ),
        "no fingerprint",
    ),
    "base64 of URLs": (changed_text(lambda text: text.replace(b'"sig":"', b'"sig":"-_')), "base64|changed"),
    "base64 with a break": (changed_text(lambda text: text.replace(b'"sig":"', b'"sig":"\\n')), "base64"),
    "base64 without padding": (
        changed_text(lambda text: re.sub(b'.","keyid"', b'","keyid"', text)),
        "base64",
    ),
    "signature a list": (
        changed_document(lambda all: all["dsseEnvelope"]["signatures"][0].update(sig=[])),
        "is no signature",
    ),
}
"""What is wrong with the file; nothing of it is signed."""

SIGNATURE: Mapping[str, tuple[Attack, str]] = {
    "by another key": (lambda scene: scene.release("evil"), "not among the trusted ones"),
    "by another key, with our hint": (
        lambda scene: scene.write_sidecar(scene.payload, signature(scene.payload, "evil")),
        "it was changed",
    ),
    "of another package": (_another_package, "signature of another package"),
    "of another package, with this one's statement": (_payload_of_another_package, "it was changed"),
    "manifest says more": (_manifest_says_more, "another manifest.json"),
    "of the bare statement": (
        lambda scene: scene.write_sidecar(
            scene.payload, KEYS["ours"].sign(scene.payload, ec.ECDSA(hashes.SHA256()))
        ),
        "it was changed",
    ),
    "of another payload type": (
        lambda scene: scene.write_sidecar(scene.payload, signature(scene.payload, payload_type="text/plain")),
        "it was changed",
    ),
    "empty": (changed_signature(lambda der: b""), "it was changed"),
    "cut off": (changed_signature(lambda der: der[:-1]), "it was changed"),
    "a byte more": (changed_signature(lambda der: der + b"\0"), "it was changed"),
    "raw, not DER": (
        changed_signature(
            lambda der: b"".join(number.to_bytes(32, "big") for number in utils.decode_dss_signature(der))
        ),
        "it was changed",
    ),
    "long form of the length": (
        changed_signature(lambda der: der[:1] + b"\x81" + der[1:]),
        "it was changed",
    ),
    "zeros": (numbers(lambda r, s: (0, 0)), "it was changed"),
    "s is zero": (numbers(lambda r, s: (r, 0)), "it was changed"),
    "r is the order": (numbers(lambda r, s: (ORDER, s)), "it was changed"),
    "r too large by the order": (numbers(lambda r, s: (r + ORDER, s)), "it was changed"),
    "s too large by the order": (numbers(lambda r, s: (r, s + ORDER)), "it was changed"),
    "r and s exchanged": (numbers(lambda r, s: (s, r)), "it was changed"),
    "negative": (changed_signature(lambda der: bytes.fromhex("3006020180020101")), "it was changed"),
    "one and one": (numbers(lambda r, s: (1, 1)), "it was changed"),
}
"""Signatures that are not ours, or not of this package."""

STATEMENT: Mapping[str, tuple[Attack, str]] = {
    "no JSON": (lambda scene: scene.sign_payload(b"{"), "is not JSON"),
    "empty": (lambda scene: scene.sign_payload(b"{}"), "lacks something"),
    "text": (lambda scene: scene.sign_payload(b'"digits"'), "lacks something"),
    "key twice": (
        lambda scene: scene.sign_payload(scene.payload.replace(b'"_type"', b'"_type":"","_type"', 1)),
        "'_type' comes twice",
    ),
    "provenance": (
        changed_statement(lambda all: all.update(predicateType="https://slsa.dev/provenance/v1")),
        "says nothing of a package's files",
    ),
    "other type": (changed_statement(lambda all: all.update(_type="v0.1")), "says nothing"),
    "member less": (_relisted(lambda listed: listed.pop()), "the package has"),
    "member more": (_relisted(lambda listed: listed.append(EXTRA)), "signs the files"),
    "member twice": (_relisted(lambda listed: listed.append(dict(listed[0]))), "has it twice"),
    "other order": (_relisted(lambda listed: listed.reverse()), "signs the files"),
    "no members": (_relisted(lambda listed: listed.clear()), "signs the files"),
    "weak digest": (_relisted(lambda listed: listed[0].update(algorithm="md5")), "lacks something"),
    "digest of something else": (
        changed_statement(lambda all: (_resource(all, "model.tflite").update(digest="0" * 64), _rooted(all))),
        "signs another model.tflite",
    ),
    "digest no hex": (
        changed_statement(lambda all: _resource(all, "model.tflite").update(digest="zz")),
        "lacks something",
    ),
    "digest in upper case": (
        changed_statement(
            lambda all: _resource(all, "model.tflite").update(
                digest=_resource(all, "model.tflite")["digest"].upper()
            )
        ),
        "signs another model.tflite",
    ),
    "root digest of something else": (
        changed_statement(lambda all: all["subject"][0]["digest"].update(sha256="0" * 64)),
        "subject's digest",
    ),
    "two subjects": (changed_statement(lambda all: all["subject"].append({})), "lacks something"),
    "shards": (
        changed_statement(lambda all: all["predicate"]["serialization"].update(method="shards")),
        "expected whole files",
    ),
    "counter a word": (
        changed_statement(lambda all: all["predicate"].update(edgepack={"counter": "9"})),
        "lacks something",
    ),
    "counter a fraction": (
        changed_statement(lambda all: all["predicate"].update(edgepack={"counter": 1e6})),
        "lacks something",
    ),
    "counter true": (
        changed_statement(lambda all: all["predicate"].update(edgepack={"counter": True})),
        "lacks something",
    ),
    "counter negative": (
        changed_statement(lambda all: all["predicate"].update(edgepack={"counter": -1})),
        "lacks something",
    ),
    "counter over 32 bits": (
        changed_statement(lambda all: all["predicate"].update(edgepack={"counter": 1 << 32})),
        "lacks something",
    ),
    "counter null": (
        changed_statement(lambda all: all["predicate"].update(edgepack={"counter": None})),
        "lacks something",
    ),
}
"""Statements that the trusted key did sign, for whatever reason, but that don't vouch for this package."""

EVERY: Mapping[str, tuple[Attack, str]] = {
    f"{part}: {name}": attack
    for part, attacks in (("file", SIGNATURE_FILE), ("signature", SIGNATURE), ("statement", STATEMENT))
    for name, attack in attacks.items()
}
