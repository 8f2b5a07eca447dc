"""Keys and signatures: deterministic, readable by openssl and by the reference verifier."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgepack import bundle, errors
from edgepack.bundle import signing, statement
from edgepack.bundle.envelope import pae
from tests.attacks.signed import Scene, signature

README = Path(bundle.__file__).with_name("README.md")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_the_same_bytes_each_time(scene: Scene) -> None:
    """A constant: another library, version or machine must not change what is released."""
    first = scene.sidecar.read_bytes()
    scene.release()
    assert scene.sidecar.read_bytes() == first
    assert (
        hashlib.sha256(first).hexdigest()
        == "fe712b4ca31f864ebbb24ef0250f1b0aa2bc1254b9f93e70cd912b6f1b44367d"
    )


def test_the_signature_is_that_of_rfc_6979(scene: Scene) -> None:
    assert scene.der == signature(scene.payload)


def test_the_statement(scene: Scene) -> None:
    found = scene.statement()
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["subject"][0]["name"] == "digits-1.0.0"
    assert [each["name"] for each in found["predicate"]["resources"]] == [
        "golden.bin",
        "manifest.json",
        "model.tflite",
        "recipe.toml",
    ]
    assert found["predicate"]["edgepack"] == {"counter": 1_000_000}


@pytest.mark.parametrize(
    ("version", "counter"),
    [("0.0.0", 0), ("0.0.1", 1), ("1.2.3", 1_002_003), ("4294.967.295", 4_294_967_295)],
)
def test_counters_of_versions(version: str, counter: int) -> None:
    assert statement.counter_of(version) == counter


@pytest.mark.parametrize(
    "version", ["", "1.0", "1.0.0-rc1", "v1.0.0", "1.1000.0", "1.0.0.0", "٣.0.0", "4294.967.296", "1.-1.0"]
)
def test_versions_without_a_counter(version: str) -> None:
    with pytest.raises(errors.BadInputError, match=r"--counter|32 bits"):
        statement.counter_of(version)


def test_key_pair(tmp_path: Path) -> None:
    private, public = signing.generate()
    assert private.startswith(b"-----BEGIN PRIVATE KEY-----")  # PKCS#8
    (tmp_path / "a.key").write_bytes(private)
    signer, found = signing.key_signer(tmp_path / "a.key")
    assert found == public
    assert signing.verifies(public, signer(hashlib.sha256(pae(b"x")).digest()), b"x")
    assert signing.generate()[0] != private


def test_an_encrypted_key(tmp_path: Path) -> None:
    private, public = signing.generate(b"sesame")
    path = tmp_path / "a.key"
    path.write_bytes(private)
    assert signing.key_signer(path, lambda: b"sesame")[1] == public
    with pytest.raises(errors.BadInputError, match="passphrase does not open it"):
        signing.key_signer(path, lambda: b"wrong")
    with pytest.raises(errors.BadInputError, match="passphrase does not open it"):
        signing.key_signer(path)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def test_keys_that_are_none(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "bad"
    for content in (b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"):
        path.write_bytes(content)
        with pytest.raises(errors.BadInputError, match="is no private key"):
            signing.key_signer(path)
    path.write_bytes(_pem(ec.generate_private_key(ec.SECP384R1())))
    with pytest.raises(errors.BadInputError, match="no P-256 key"):
        signing.key_signer(path)
    with pytest.raises(errors.BadInputError, match="is a private key; expected the public one"):
        signing.read_public_key(tmp_path / "ours.key")
    with pytest.raises(errors.BadInputError, match="is no private key"):
        signing.key_signer(tmp_path / "ours.pub")
    path.write_bytes(b"\0" * 20_000)
    with pytest.raises(errors.BadInputError, match="more than a key can have"):
        signing.read_public_key(path)
    with pytest.raises(errors.StorageError, match="No such file"):
        signing.read_public_key(tmp_path / "absent")


def test_a_signer_of_ones_own(scene: Scene) -> None:
    """An HSM's stand-in: openssl with the private key, asked through stdin and stdout."""
    contents = bundle.read_contents(scene.package)
    public = signing.read_public_key(scene.key)
    command = f"openssl pkeyutl -sign -inkey {scene.folder / 'ours.key'}"
    made = signing.sign(contents, signing.command_signer(command), public, counter=3)
    scene.sidecar.write_bytes(made.encode())
    assert bundle.verify(scene.package, bundle.Trust.of_keys([scene.key])).counter == 3


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-program", "cannot be run"),
        ("", "cannot be run"),
        ("'", "cannot be run"),
        ("false", "failed with exit code 1"),
        ("true", "no signature by the given public key"),
        ("cat", "no signature by the given public key"),
        ("openssl pkeyutl -sign -inkey {folder}/evil.key", "no signature by the given public key"),
    ],
)
def test_signers_that_fail(scene: Scene, command: str, words: str) -> None:
    contents = bundle.read_contents(scene.package)
    public = signing.read_public_key(scene.key)
    signer = signing.command_signer(command.format(folder=scene.folder))
    with pytest.raises(errors.EdgepackError, match=words):
        signing.sign(contents, signer, public, counter=1)


def shell(commands: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-eu"], input=commands, cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_openssl_commands_of_the_readme(scene: Scene) -> None:
    """As they stand there, with nothing but openssl and the tools of any Unix."""
    block = re.search(r"<!-- openssl -->\n\n((?:    .*\n|\n)+)", README.read_text())
    assert block is not None
    commands = block.group(1).replace("PACKAGE", "digits.edgepack").replace("edgepack.pub", "ours.pub")
    answer = shell(commands, scene.folder)
    assert answer.returncode == 0, answer.stderr
    assert "Verified OK" in answer.stdout
    listed = [
        line for line in answer.stdout.splitlines() if len(line.split()) == 2 and len(line.split()[0]) == 64
    ]
    contents = bundle.read_contents(scene.package)
    assert {line.split()[1].rpartition("/")[2]: line.split()[0] for line in listed} == contents.digests
    payload = scene.payload.decode()
    assert all(digest in payload for digest in contents.digests.values())
    scene.write_sidecar(scene.payload.replace(b"1000000", b"9000000"), scene.der)
    bad = shell(commands, scene.folder)
    assert bad.returncode != 0 and "Verified OK" not in bad.stdout


def test_a_failed_build_is_not_signed(scene: Scene) -> None:
    with pytest.raises(errors.GateError, match="too large; sign one that passed"):
        scene.release(status="failed", reasons=["too large"])
    scene.release(status="passed", reasons=[])


def test_openssl_reads_the_keys(tmp_path: Path) -> None:
    private, public = signing.generate()
    (tmp_path / "edgepack.key").write_bytes(private)
    answer = shell("openssl pkey -in edgepack.key -pubout", tmp_path)
    assert answer.stdout.encode() == public


def _model_signing() -> str:
    """The reference command: the one installed beside edgepack, else on PATH."""
    found = shutil.which("model_signing", path=Path(sys.executable).parent) or shutil.which("model_signing")
    if found is None:
        pytest.skip("OpenSSF model-signing is not installed; it is in the extra 'dev'")
    return found


def reference(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [_model_signing(), *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_model_signing_accepts_ours(scene: Scene) -> None:
    unzipped = scene.folder / "unzipped"
    with zipfile.ZipFile(scene.package) as archive:
        archive.extractall(unzipped)
    arguments = ("verify", "key", unzipped, "--signature", scene.sidecar, "--public_key")
    good = reference(*arguments, scene.key)
    assert good.returncode == 0 and "Verification succeeded" in good.stdout + good.stderr, good.stderr
    assert reference(*arguments, scene.folder / "evil.pub").returncode != 0
    (unzipped / "model.tflite").write_bytes(b"evil")
    assert reference(*arguments, scene.key).returncode != 0


def test_we_accept_those_of_model_signing(scene: Scene) -> None:
    unzipped = scene.folder / "unzipped"
    with zipfile.ZipFile(scene.package) as archive:
        archive.extractall(unzipped)
    made = reference(
        "sign", "key", unzipped, "--private_key", scene.folder / "ours.key", "--signature", scene.sidecar
    )
    assert made.returncode == 0, made.stderr
    found = bundle.verify(scene.package, bundle.Trust.of_keys([scene.key]))
    assert found.counter is None


def test_a_signature_that_model_signing_made(scene: Scene) -> None:
    """What model-signing 1.1.1 wrote for this package, unzipped, with the key "ours"."""
    scene.sidecar.write_bytes(Path(__file__).with_name("by_model_signing_1.1.1.sig").read_bytes())
    found = bundle.verify(scene.package, bundle.Trust.of_keys([scene.key]))
    assert found.counter is None
    with pytest.raises(errors.TrustError, match="no counter"):
        bundle.verify(scene.package, bundle.Trust.of_file(scene.trust(key="from_counter = 1")))


def test_nothing_of_the_library_is_imported_for_reading() -> None:
    code = "import sys, edgepack.bundle; assert not {'cryptography', 'numpy', 'pydantic'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_pkcs11_token(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real PKCS#11 module, in software; the key never leaves it."""
    module = next((path for path in Path("/usr/lib").glob("**/libsofthsm2.so")), None)
    if module is None or shutil.which("pkcs11-tool") is None:
        pytest.skip("SoftHSM and OpenSC are not installed (softhsm2, opensc)")
    (scene.folder / "tokens").mkdir()
    (scene.folder / "softhsm2.conf").write_text(f"directories.tokendir = {scene.folder / 'tokens'}\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(scene.folder / "softhsm2.conf"))
    monkeypatch.setenv("TOKEN_PIN", "1234")
    tool = f"pkcs11-tool --module {module} --token-label release --login --pin env:TOKEN_PIN --id 01"
    made = shell(
        "softhsm2-util --init-token --free --label release --pin 1234 --so-pin 1234\n"
        f"{tool} --keypairgen --key-type EC:prime256v1 --label release\n"
        f"{tool} --read-object --type pubkey -o token.der\n"
        "openssl pkey -pubin -inform DER -in token.der -out token.pub\n",
        scene.folder,
    )
    assert made.returncode == 0, made.stderr
    contents, public = (
        bundle.read_contents(scene.package),
        signing.read_public_key(scene.folder / "token.pub"),
    )
    signer = signing.command_signer(f"{tool} --sign --mechanism ECDSA --signature-format openssl")
    scene.sidecar.write_bytes(signing.sign(contents, signer, public, counter=1).encode())
    bundle.verify(scene.package, bundle.Trust.of_keys([scene.folder / "token.pub"]))
