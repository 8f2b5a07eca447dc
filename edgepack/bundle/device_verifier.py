#!/usr/bin/env python3
"""Verifies an .edgepack package with nothing but Python 3.7 or later: one file to carry to a bare device.

    python3 device_verifier.py PACKAGE --key edgepack.pub [--key NEXT.pub] [--state counters.json]

Exit codes: 0 trusted, 2 usage, 65 a broken package or key, 74 a file cannot be read or written, 77 not trusted. Says
what `edgepack verify` says, by code of its own (formats: edgepack/bundle/README.md), so that each checks the other;
that is why one file holds everything. Verifying holds no secret, so nothing here need take constant time.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import hashlib
import json
import os
import re
import stat
import struct
import sys
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:  # what Python 3.7 cannot say at run time
    from collections.abc import Sequence

    Affine = tuple[int, int]
    Jacobian = tuple[int, int, int]
    """(X, Y, Z): the point (X/Z², Y/Z³), or infinity where Z is 0."""
    Members = dict[str, bytes]

LIMITS_BYTES = {
    "manifest.json": 16_000_000,
    "model.tflite": (1 << 31) - 1,
    "golden.bin": 256_000_000,
    "recipe.toml": 1_000_000,
    "device.tflite": 256_000_000,
}
OPTIONAL = "device.tflite"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://model_signing/signature/v1.0"
STATE_FORMAT = "edgepack.rollback/1"
NOT_AS_IT_SHOULD_BE = (ValueError, TypeError, KeyError, AttributeError)

# The curve P-256 (SP 800-186): y² = x³ − 3x + B over the integers mod P, generator G of order N.
P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
SPKI_PREFIX = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")
"""DER of a SubjectPublicKeyInfo: id-ecPublicKey, prime256v1, an uncompressed point; x and y (64 bytes) follow."""


class Broken(Exception):
    """The package is damaged or no package, or a key is none."""

    exit_code = 65


class Untrusted(Exception):
    """Nobody trusted vouches for it."""

    exit_code = 77


def verify(
    package: Path, keys: Sequence[Path], signature: Path | None = None, state: Path | None = None
) -> tuple[Members, dict[str, Any], int | None]:
    """Members, manifest and counter of a package that one of `keys` signed.

    Args:
      package: the .edgepack.
      keys: public keys in PEM.
      signature: the sidecar, where it is not beside the package.
      state: what remembers counters against rollback; is raised.

    Raises:
      Broken, Untrusted, OSError.
    """
    points = dict(read_public_key(path) for path in keys)
    data = read_file(package, sum(LIMITS_BYTES.values()) + 4096, Broken)
    members = read_archive(data)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}
    manifest = read_manifest(members, digests)
    sidecar = signature or package.with_name(package.name + ".sig")
    if not os.path.lexists(sidecar):
        raise Untrusted(f"{sidecar}: no such file, so the package is not signed")
    payload, der, hint = read_sidecar(read_file(sidecar, 64_000, Untrusted, follow_links=False))
    if hint not in points:
        raise Untrusted(f"signed by the key {hint[:16]}…, which is not trusted")
    pae = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    if not verify_p256(points[hint], hashlib.sha256(pae).digest(), der):
        raise Untrusted(f"the signature is not one by the key {hint[:16]}…: it was changed")
    counter = check_statement(payload, digests)
    if state is not None:
        record(state, lineage(manifest), counter, hashlib.sha256(data).hexdigest())
    return members, manifest, counter


def read_archive(data: bytes) -> Members:
    """The members, if `data` is the one archive that they make."""
    members: Members = {}
    position = 0
    for name, limit in LIMITS_BYTES.items():
        header = data[position : position + 30]
        if name == OPTIONAL and data[position + 30 : position + 30 + len(name)] != name.encode():
            break
        if len(header) < 30 or header[:4] != b"PK\x03\x04":
            raise Broken(f"{name} is missing or cut off")
        size, name_size = struct.unpack("<LH", header[22:28])
        begin = position + 30 + name_size
        if data[position + 30 : begin] != name.encode() or size > limit or begin + size > len(data):
            raise Broken(f"{name} is not where it must be, cut off or too large")
        members[name] = data[begin : begin + size]
        position = begin + size
    if write_archive(members) != data:
        raise Broken(
            "is not in the canonical form: a checksum, a header or the directory differs, or more follows"
        )
    return members


def write_archive(members: Members) -> bytes:
    """The one archive of these members: a zip, stored, dated 1980-01-01, mode 0644."""
    body: list[bytes] = []
    directory, offset = b"", 0
    for name, content in members.items():
        sizes = (zlib.crc32(content), len(content), len(content), len(name), 0)
        facts = struct.pack("<HHHHHLLLHH", 20, 0, 0, 0, 0x21, *sizes)
        directory += b"PK\x01\x02" + struct.pack("<H", 0x314) + facts
        directory += struct.pack("<HHHLL", 0, 0, 0, 0o100644 << 16, offset) + name.encode()
        body += [b"PK\x03\x04", facts, name.encode(), content]
        offset += 30 + len(name) + len(content)
    count = len(members)
    end = b"PK\x05\x06" + struct.pack("<HHHHLLH", 0, 0, count, count, len(directory), offset, 0)
    return b"".join([*body, directory, end])


def read_manifest(members: Members, digests: dict[str, str]) -> dict[str, Any]:
    """The manifest, if it is canonical JSON and true about the other members."""
    text = members["manifest.json"]
    try:
        manifest: dict[str, Any] = json.loads(text.decode())
        canonical = json.dumps(
            manifest, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
        told, kind = manifest["members"], manifest["format"]
        complete = "golden" in manifest and type(manifest["name"]) is type(manifest["version"]) is str
    except (*NOT_AS_IT_SHOULD_BE, RecursionError) as error:
        raise Broken(f"manifest.json is not as it should be: {error}") from None
    true = {name: {"sha256": digests[name], "bytes": len(members[name])} for name in members}
    del true["manifest.json"]
    if not complete or kind != "edgepack.package/1" or canonical != text or told != true:
        raise Broken(
            "manifest.json is incomplete, not canonical, of another format, or wrong about the members"
        )
    return manifest


def read_sidecar(text: bytes) -> tuple[bytes, bytes, str]:
    """(payload, signature in DER, fingerprint of the key) of a signature file in its one form."""
    document = strict_json(text, "the signature file")
    try:
        dsse = document["dsseEnvelope"]
        (signature,) = dsse["signatures"]
        payload = base64.b64decode(dsse["payload"].encode(), validate=True)
        der = base64.b64decode(signature["sig"].encode(), validate=True)
        hint = document["verificationMaterial"]["publicKey"]["hint"]
        if re.fullmatch("[0-9a-f]{64}", hint) is None:
            raise ValueError("the hint is no fingerprint")
    except NOT_AS_IT_SHOULD_BE as error:
        raise Untrusted(f"is no signature of a package: {type(error).__name__} {error}") from None
    canonical = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(der).decode(), "keyid": ""}],
        },
    }
    if json.dumps(canonical, separators=(",", ":")).encode() != text:
        raise Untrusted("the signature file has unsigned additions or another form than signatures have")
    return payload, der, hint


def check_statement(payload: bytes, digests: dict[str, str]) -> int | None:
    """The counter (None: has none) of a signed statement, if it lists exactly these members."""
    statement = strict_json(payload, "the signed statement")
    try:
        predicate = statement["predicate"]
        how = predicate["serialization"]
        kind = (statement["_type"], statement["predicateType"], how["method"], how["hash_type"])
        resources = [(each["name"], each["algorithm"], each["digest"]) for each in predicate["resources"]]
        (subject,) = statement["subject"]
        root = hashlib.sha256(b"".join(bytes.fromhex(digest) for _, _, digest in resources)).hexdigest()
        root_is_told = subject["digest"] == {"sha256": root}
        extension: Any = predicate.get("edgepack")
        counter: int | None = None if extension is None else extension["counter"]
        if extension is not None and (type(counter) is not int or not 0 <= counter < 1 << 32):
            raise ValueError("the counter is no 32-bit number")
    except NOT_AS_IT_SHOULD_BE as error:
        raise Untrusted(f"the signed statement lacks something: {type(error).__name__} {error}") from None
    if kind != (STATEMENT, PREDICATE, "files", "sha256") or not root_is_told:
        raise Untrusted("the signed statement is of another kind than those about packages")
    if resources != [(name, "sha256", digests[name]) for name in sorted(digests)]:
        raise Untrusted("the signature is that of another package")
    return counter


def strict_json(text: bytes, what: str) -> Any:
    """JSON in which no key comes twice and every number is finite."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key comes twice")
        return found

    def no_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number of JSON")

    try:
        return json.loads(text.decode(), object_pairs_hook=distinct, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise Untrusted(f"{what} is not JSON as it should be: {error}") from None


def read_public_key(path: Path) -> tuple[str, Affine]:
    """(fingerprint, point) of a P-256 public key in PEM."""
    text = read_file(path, 16_000, Broken).decode("ascii", "replace")
    found = re.search(r"-----BEGIN PUBLIC KEY-----([\w+/=\s]*)-----END PUBLIC KEY-----", text, re.ASCII)
    try:
        der = base64.b64decode("".join(found.group(1).split()), validate=True) if found else b""
    except ValueError:
        der = b""
    if len(der) != 91 or not der.startswith(SPKI_PREFIX):
        raise Broken(f"{path}: is no P-256 public key in PEM (SubjectPublicKeyInfo, uncompressed)")
    point = int.from_bytes(der[27:59], "big"), int.from_bytes(der[59:], "big")
    if not is_on_curve(point):
        raise Broken(f"{path}: its point is not on the curve P-256")
    encoded = base64.b64encode(der).decode()
    lines = [encoded[at : at + 64] for at in range(0, len(encoded), 64)]
    pem = "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])
    return hashlib.sha256(pem.encode()).hexdigest(), point


def is_on_curve(point: Affine) -> bool:
    x, y = point
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x * x - 3 * x + B)) % P == 0


def verify_p256(point: Affine, digest: bytes, der: bytes) -> bool:
    """Whether `der` is an ECDSA signature over a SHA-256 digest (FIPS 186-5, 6.4.2).

    (r, N − s) is accepted like (r, s): nothing is identified by the bytes of its signature.
    """
    numbers = read_der(der)
    if numbers is None or not all(1 <= number < N for number in numbers):
        return False
    r, s = numbers
    inverse = pow(s, N - 2, N)
    x, _, scale = twice_times(int.from_bytes(digest, "big") * inverse % N, G, r * inverse % N, point)
    return scale != 0 and x * pow(scale, P - 3, P) % P % N == r


def read_der(der: bytes) -> Affine | None:
    """(r, s) of a signature in strict DER: a SEQUENCE of two minimal, non-negative INTEGERs; None otherwise."""
    if len(der) < 8 or der[0] != 0x30 or der[1] != len(der) - 2 or der[1] >= 0x80:
        return None
    numbers: list[int] = []
    position = 2
    for _ in range(2):
        head = der[position : position + 2]
        if len(head) < 2 or head[0] != 0x02 or not 1 <= head[1] <= 33:
            return None
        content = der[position + 2 : position + 2 + head[1]]
        if len(content) != head[1] or content[0] >= 0x80:
            return None
        if len(content) > 1 and content[0] == 0 and content[1] < 0x80:
            return None
        numbers.append(int.from_bytes(content, "big"))
        position += 2 + head[1]
    return (numbers[0], numbers[1]) if position == len(der) else None


def twice_times(u: int, first: Affine, v: int, second: Affine) -> Jacobian:
    """u·first + v·second, by Shamir's trick."""
    one, other = (first[0], first[1], 1), (second[0], second[1], 1)
    table = {("1", "0"): one, ("0", "1"): other, ("1", "1"): add(one, other)}
    total = (1, 1, 0)
    for pair in zip(format(u, "0256b"), format(v, "0256b")):  # noqa: B905 (3.10)
        total = double(total)
        if pair in table:
            total = add(total, table[pair])
    return total


def double(point: Jacobian) -> Jacobian:
    """2·point (dbl-2001-b of the Explicit-Formulas Database, for a = −3)."""
    x, y, z = point
    if z == 0:
        return point
    delta, gamma = z * z % P, y * y % P
    beta, alpha = x * gamma % P, 3 * (x - delta) * (x + delta) % P
    new_x = (alpha * alpha - 8 * beta) % P
    return new_x, (alpha * (4 * beta - new_x) - 8 * gamma * gamma) % P, 2 * y * z % P


def add(left: Jacobian, right: Jacobian) -> Jacobian:
    """left + right, whatever they are (add-1998-cmo-2 of the Explicit-Formulas Database)."""
    (x1, y1, z1), (x2, y2, z2) = left, right
    if z1 == 0 or z2 == 0:
        return right if z1 == 0 else left
    square1, square2 = z1 * z1 % P, z2 * z2 % P
    u1, s1 = x1 * square2 % P, y1 * z2 * square2 % P
    h, r = (x2 * square1 - u1) % P, (y2 * z1 * square1 - s1) % P
    if h == 0:
        return double(left) if r == 0 else (1, 1, 0)
    cube, v = h * h * h % P, u1 * h * h % P
    x3 = (r * r - cube - 2 * v) % P
    return x3, (r * (v - x3) - s1 * cube) % P, z1 * z2 * h % P


def lineage(manifest: dict[str, Any]) -> str:
    """What later packages replace this one: its name, and the device it is for."""
    device = manifest.get("device")
    if isinstance(device, dict) and "name" in device:
        return f"{manifest['name']}@{device['name']}"
    name: str = manifest["name"]
    return name


def record(path: Path, name: str, counter: int | None, sha256: str) -> None:
    """Refuses what is older than the state has seen; remembers what is newer."""
    with path.with_name(path.name + ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        packages = read_state(path)
        if counter is None:
            raise Untrusted(f"the signature has no counter, and {path} remembers counters")
        newest: Any = packages.get(name, {"counter": -1, "sha256": ""})
        if counter < newest["counter"]:
            raise Untrusted(f"rollback: counter {counter}, but {newest['counter']} was seen of {name}")
        if counter == newest["counter"] and sha256 != newest["sha256"]:
            raise Untrusted(f"counter {counter} was that of another package of {name} before")
        if counter > newest["counter"]:
            write_state(path, {**packages, name: {"counter": counter, "sha256": sha256}})


def read_state(path: Path) -> dict[str, Any]:
    """What was seen. Missing or damaged, it refuses everything until a person begins a new one."""
    if not path.exists():
        raise Untrusted(
            f"{path}: the memory against rollback is missing; on first use begin it with --start-state"
        )
    try:
        document = strict_json(read_file(path, 1_000_000, Untrusted), str(path))
        packages: dict[str, Any] = document["packages"]
        sound = set(document) == {"format", "packages"} and document["format"] == STATE_FORMAT
        for each in packages.values():
            sound &= type(each["counter"]) is int and each["counter"] >= 0 and type(each["sha256"]) is str
        if not sound:
            raise ValueError("format or entry")
    except (*NOT_AS_IT_SHOULD_BE, Untrusted) as error:
        raise Untrusted(f"{path}: the memory against rollback is damaged: {error}") from None
    return packages


def write_state(path: Path, packages: dict[str, Any]) -> None:
    """Absent, old or complete at any time: written beside, synced, renamed."""
    folder = path.absolute().parent
    document = {"format": STATE_FORMAT, "packages": packages}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    descriptor, temporary = tempfile.mkstemp(prefix=".edgepack-", suffix=".tmp", dir=str(folder))
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    directory = os.open(str(folder), os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


def read_file(path: Path, limit_bytes: int, refusal: type[Exception], follow_links: bool = True) -> bytes:
    """The bytes of a regular file of at most `limit_bytes`."""
    if not follow_links and path.is_symlink():
        raise refusal(f"{path}: is a symbolic link; expected the file itself")
    flags = os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW)
    with os.fdopen(os.open(str(path), flags), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > limit_bytes:
            raise refusal(f"{path}: is no regular file, or too large")
        return file.read(limit_bytes)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Verify an .edgepack package and its signature.")
    parser.add_argument("package", type=Path)
    parser.add_argument(
        "--key", action="append", required=True, type=Path, help="public key that is trusted; repeatable"
    )
    parser.add_argument("--signature", type=Path, help="default: PACKAGE.sig")
    parser.add_argument("--state", type=Path, help="file that remembers counters against rollback")
    parser.add_argument("--start-state", action="store_true", help="begin the state; it must not exist")
    given = parser.parse_args(arguments)
    try:
        if given.start_state:
            if given.state is None or given.state.exists():
                parser.error("--start-state needs a --state that does not exist")
            write_state(given.state, {})
        _, manifest, counter = verify(given.package, given.key, given.signature, given.state)
    except (Broken, Untrusted) as error:
        print(f"{given.package}: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        print(f"{error.filename or given.package}: {error.strerror or error}", file=sys.stderr)
        return 74
    print(f"{given.package}: verified: {manifest['name']} {manifest['version']}, counter {counter}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
