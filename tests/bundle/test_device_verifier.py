"""The verifier in one file: its arithmetic against published vectors, edge cases and a second implementation."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import strategies as st

from edgepack.bundle import device_verifier as device
from tests.attacks.signed import Scene, public_pem

SCRIPT = Path(device.__file__)

# RFC 6979, A.2.5: the key and its deterministic signatures of SHA-256.
RFC_POINT = (
    0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
    0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
)
RFC_SIGNATURES = {
    "sample": (
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    ),
    "test": (
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    ),
}
N, G = device.N, device.G


def sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def holds(message: str, r: int, s: int) -> bool:
    return device.verify_p256(RFC_POINT, sha256(message), utils.encode_dss_signature(r, s))


@pytest.mark.parametrize("message", RFC_SIGNATURES)
def test_vectors_of_rfc_6979(message: str) -> None:
    r, s = RFC_SIGNATURES[message]
    assert holds(message, r, s)
    assert not holds(message + " ", r, s)
    assert not holds(message, r, s ^ 1) and not holds(message, r ^ 1, s) and not holds(message, s, r)


def test_the_mirrored_signature_is_accepted_like_everywhere() -> None:
    """The policy: (r, n − s) is as good as (r, s), for nothing is known by its signature's bytes."""
    r, s = RFC_SIGNATURES["sample"]
    assert holds("sample", r, N - s)


@pytest.mark.parametrize("r", [0, N, N + 1])
@pytest.mark.parametrize("s", [0, N, N + 1])
def test_numbers_out_of_range(r: int, s: int) -> None:
    good_r, good_s = RFC_SIGNATURES["sample"]
    assert not holds("sample", r, s)
    assert not holds("sample", r, good_s) and not holds("sample", good_r, s)
    assert not holds("sample", good_r + N, good_s) and not holds("sample", good_r, good_s + N)


def test_a_sum_at_infinity_is_no_signature() -> None:
    """z = −r·d gives the point at infinity: a key of 1 makes it easy."""
    r = 12345
    digest = (N - r).to_bytes(32, "big")
    assert not device.verify_p256(G, digest, utils.encode_dss_signature(r, 1))


def test_a_digest_of_zero_and_one_over_the_order() -> None:
    key = ec.derive_private_key(5, ec.SECP256R1())
    point = key.public_key().public_numbers()
    for digest in (b"\0" * 32, N.to_bytes(32, "big"), b"\xff" * 32):
        der = key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        assert device.verify_p256((point.x, point.y), digest, der)


def test_the_law_of_the_curve() -> None:
    one = (*G, 1)
    assert device.add(one, one) == device.double(one)
    assert device.add(one, (G[0], device.P - G[1], 1))[2] == 0
    assert device.add(one, (1, 1, 0)) == one == device.add((1, 1, 0), one)
    assert device.double((1, 1, 0))[2] == 0
    assert device.twice_times(N, G, 0, G)[2] == 0
    assert device.twice_times(N - 1, G, 1, G)[2] == 0


@hypothesis.settings(max_examples=40)
@hypothesis.given(st.integers(1, N - 1), st.integers(0, N - 1), st.integers(0, N - 1))
def test_multiples_are_those_of_the_library(secret: int, u: int, v: int) -> None:
    total = (u + v * secret) % N
    hypothesis.assume(total != 0)

    def multiple(number: int) -> tuple[int, int]:
        numbers = ec.derive_private_key(number, ec.SECP256R1()).public_key().public_numbers()
        return numbers.x, numbers.y

    x, y, z = device.twice_times(u, G, v, multiple(secret))
    inverse = pow(z, device.P - 2, device.P)
    assert (x * inverse**2 % device.P, y * inverse**3 % device.P) == multiple(total)


@hypothesis.settings(max_examples=40)
@hypothesis.given(st.integers(1, N - 1), st.binary(max_size=40), st.binary(max_size=6), st.integers(0, 71))
def test_the_library_says_the_same(secret: int, message: bytes, splice: bytes, place: int) -> None:
    key = ec.derive_private_key(secret, ec.SECP256R1())
    der = key.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    changed = der[:place] + splice + der[place + len(splice) :]
    try:
        key.public_key().verify(changed, message, ec.ECDSA(hashes.SHA256()))
        expected = True
    except InvalidSignature:
        expected = False
    numbers = key.public_key().public_numbers()
    found = device.verify_p256((numbers.x, numbers.y), hashlib.sha256(message).digest(), changed)
    assert found is expected


LOOSE_DER = {
    "empty": "",
    "cut off": "30060201010201",
    "a byte more": "300602010102010100",
    "a byte more inside": "30070201010201 0100",
    "no sequence": "3106020101020101",
    "no integer": "3006030101020101",
    "length over the end": "3006020101020201",
    "length zero": "3005 0200 020101",
    "long form": "308106020101020101",
    "indefinite": "3080020101020101 0000",
    "negative": "3006020180020101",
    "padded": "300702020001020101",
    "one number": "3003020101",
    "three numbers": "3009020101020101020101",
    "too long a number": "302702 22" + "00" + "ff" * 33 + "020101",
}


@pytest.mark.parametrize("name", LOOSE_DER)
def test_only_strict_der(name: str) -> None:
    assert device.read_der(bytes.fromhex(LOOSE_DER[name])) is None


def test_der() -> None:
    assert device.read_der(bytes.fromhex("3006020101020102")) == (1, 2)
    assert device.read_der(bytes.fromhex("300702020080020100")) == (128, 0)
    assert device.read_der(utils.encode_dss_signature(N - 1, N - 2)) == (N - 1, N - 2)


def _pem(der: bytes) -> bytes:
    import base64

    return b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(der) + b"-----END PUBLIC KEY-----\n"


GOOD_DER = device.SPKI_PREFIX + G[0].to_bytes(32, "big") + G[1].to_bytes(32, "big")
BAD_KEYS = {
    "point beside the curve": _pem(
        device.SPKI_PREFIX + G[0].to_bytes(32, "big") + (G[1] + 1).to_bytes(32, "big")
    ),
    "point at zero": _pem(device.SPKI_PREFIX + b"\0" * 64),
    "coordinate over the prime": _pem(device.SPKI_PREFIX + b"\xff" * 64),
    "another curve": _pem(
        GOOD_DER.replace(bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030106"))
    ),
    "cut off": _pem(GOOD_DER[:-1]),
    "a byte more": _pem(GOOD_DER + b"\0"),
    "no key": b"hello",
    "empty": b"",
    "broken base64": b"-----BEGIN PUBLIC KEY-----\nA\n-----END PUBLIC KEY-----\n",
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_keys_that_are_none(name: str, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_bytes(BAD_KEYS[name])
    with pytest.raises(device.Broken, match="P-256"):
        device.read_public_key(tmp_path / "key.pub")


def test_a_key_and_its_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_bytes(public_pem("ours").replace(b"\n", b"\r\n"))
    fingerprint, point = device.read_public_key(tmp_path / "key.pub")
    assert fingerprint == hashlib.sha256(public_pem("ours")).hexdigest()
    loaded = serialization.load_pem_public_key(public_pem("ours"))
    assert isinstance(loaded, ec.EllipticCurvePublicKey)
    assert point == (loaded.public_numbers().x, loaded.public_numbers().y)


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The file alone: no site packages, no edgepack, no environment, in another folder."""
    return subprocess.run(
        [sys.executable, "-I", "-S", SCRIPT, *map(str, arguments)],
        cwd="/",
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_runs_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    answer = run(scene.package, "--key", scene.key)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.endswith("verified: digits 1.0.0, counter 1000000\n")
    assert run(scene.package, "--key", tmp_path / "evil.pub").returncode == 77
    assert run(scene.package, "--key", tmp_path / "evil.pub", "--key", scene.key).returncode == 0
    assert run(scene.package, "--key", tmp_path / "absent.pub").returncode == 74
    assert run(scene.package, "--key", scene.package).returncode == 65
    assert run(scene.package).returncode == 2
    scene.package.write_bytes(scene.package.read_bytes() + b"\0")
    answer = run(scene.package, "--key", scene.key)
    assert answer.returncode == 65 and "canonical form" in answer.stderr and "Traceback" not in answer.stderr


def test_it_remembers_counters(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    arguments = (scene.package, "--key", scene.key, "--state", scene.state)
    missing = run(*arguments)
    assert missing.returncode == 77 and "missing" in missing.stderr
    assert run(*arguments, "--start-state").returncode == 0
    assert run(*arguments, "--start-state").returncode == 2
    assert run(*arguments).returncode == 0
    scene.release(version="1.1.0")
    assert run(*arguments).returncode == 0
    scene.release(version="1.0.9")
    old = run(*arguments)
    assert old.returncode == 77 and "rollback" in old.stderr


def test_its_grammar_is_that_of_python_3_7() -> None:
    ast.parse(SCRIPT.read_text(), feature_version=(3, 7))


def test_it_needs_only_the_standard_library() -> None:
    tree = ast.parse(SCRIPT.read_text())
    names = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        )
    }
    assert names <= set(sys.stdlib_module_names)
