"""The trust file: who may sign what, who no longer, and the memory against rollback."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from pathlib import Path

import pytest

from edgepack import bundle, errors
from edgepack.bundle import device_verifier, rollback
from edgepack.bundle.verification import accept
from edgepack.records import file_sha256
from tests.attacks.signed import Scene, public_pem


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def verified(scene: Scene, text: str = "", key: str = "") -> bundle.VerifiedBundle:
    return bundle.verify(scene.package, bundle.Trust.of_file(scene.trust(text, key)))


def refused(scene: Scene, words: str, text: str = "", key: str = "") -> None:
    with pytest.raises(errors.TrustError, match=words):
        verified(scene, text, key)


def test_a_trusted_key(scene: Scene) -> None:
    found = verified(scene)
    assert (found.key.name, found.counter, found.contents.name) == ("ours", 1_000_000, "digits")
    assert found.signature == scene.sidecar.read_bytes()
    assert found.contents.sha256 == file_sha256(scene.package)
    assert found.package().manifest == found.contents.manifest


def test_a_revoked_key(scene: Scene) -> None:
    refused(scene, "'ours', which .* revokes: laptop stolen", key='revoked = "laptop stolen"')


def test_a_revoked_package(scene: Scene) -> None:
    table = f'[[revoked]]\npackage = "{file_sha256(scene.package)}"\nreason = "labels exchanged"'
    refused(scene, "was called back by .*trust.toml: labels exchanged", table)
    verified(scene, table.replace(file_sha256(scene.package), "0" * 64))


@pytest.mark.parametrize("patterns", ['["digits"]', '["kws", "dig*"]', '["*"]', '["d?gits"]'])
def test_names_that_a_key_may_sign(scene: Scene, patterns: str) -> None:
    verified(scene, key=f"packages = {patterns}")


@pytest.mark.parametrize("patterns", ['["kws-*"]', '["DIGITS"]', '["digit"]', '["digits-*"]'])
def test_names_that_it_may_not(scene: Scene, patterns: str) -> None:
    refused(scene, "may sign .*, not 'digits'", key=f"packages = {patterns}")


@pytest.mark.parametrize(
    ("limits", "good"),
    [
        ("from_counter = 1000000", True),
        ("until_counter = 1000000", True),
        ("from_counter = 0\nuntil_counter = 2000000", True),
        ("from_counter = 1000001", False),
        ("until_counter = 999999", False),
    ],
)
def test_counters_that_a_key_may_sign(scene: Scene, limits: str, good: bool) -> None:
    if good:
        verified(scene, key=limits)
    else:
        refused(scene, "has the counter 1000000; the key 'ours' may sign", key=limits)


def test_rotation(scene: Scene) -> None:
    """Both keys for a while; then the old one only for what it has signed; then not at all."""
    old, new = scene.package.read_bytes(), scene.folder / "next.pub"
    old_signature = scene.sidecar.read_bytes()
    both = '[[key]]\nname = "next"\nfile = "next.pub"\nfrom_counter = 2000000\n'
    scene.release("next", version="2.0.0")
    refused(scene, "not among the trusted ones")
    assert verified(scene, both).key.name == "next"
    scene.release("next", version="1.9.0")
    refused(scene, "'next' may sign 2000000 to any", both)
    scene.release("ours", version="2.0.1")
    assert verified(scene, both).key.name == "ours"
    refused(scene, "'ours' may sign 0 to 1999999", both, key="until_counter = 1999999")
    scene.package.write_bytes(old)
    scene.sidecar.write_bytes(old_signature)
    verified(scene, both, key="until_counter = 1999999")
    with pytest.raises(errors.TrustError, match="not among"):
        bundle.verify(scene.package, bundle.Trust.of_keys([new]))
    # The same package, signed anew: not a byte of it changes.
    scene.release("next", counter=2_000_000)
    assert scene.package.read_bytes() == old
    bundle.verify(scene.package, bundle.Trust.of_keys([new]))


BAD_FILES = {
    "not TOML": ("edgepack_trust = ", "not valid TOML"),
    "empty": ("", '"edgepack_trust": is missing'),
    "no key": ("edgepack_trust = 1", '"key": is missing'),
    "newer": ('edgepack_trust = 2\n[[key]]\nname = "a"\nfile = "ours.pub"', "expected 1"),
    "true": (
        'edgepack_trust = true\n[[key]]\nname = "a"\nfile = "ours.pub"',
        "expected an integer; got True",
    ),
    "unknown key": ("edgepack_trust = 1\nkeys = 1", '"keys": unknown key; did you mean "key"'),
    "unknown key of a key": (
        'edgepack_trust = 1\n[[key]]\nname = "a"\nfile = "ours.pub"\nrevokd = "x"',
        r'\[\[key\]\] 1 "revokd": unknown key; did you mean "revoked"',
    ),
    "revoked, but no reason": (
        'edgepack_trust = 1\n[[key]]\nname = "a"\nfile = "ours.pub"\nrevoked = ""',
        '"revoked": expected some text',
    ),
    "revoked is true": (
        'edgepack_trust = 1\n[[key]]\nname = "a"\nfile = "ours.pub"\nrevoked = true',
        '"revoked": expected some text; got True',
    ),
    "a table": ('edgepack_trust = 1\n[key]\nname = "a"', '"key": expected a list'),
    "keys no tables": ("edgepack_trust = 1\nkey = [1]", "expected a table"),
    "no patterns": (
        'edgepack_trust = 1\n[[key]]\nname = "a"\nfile = "ours.pub"\npackages = []',
        "expected a list of name patterns",
    ),
    "patterns no text": (
        'edgepack_trust = 1\n[[key]]\nname = "a"\nfile = "ours.pub"\npackages = [1]',
        "expected a list of name patterns",
    ),
    "the same name twice": (
        'edgepack_trust = 1\n[[key]]\nname = "a"\nfile = "ours.pub"\n[[key]]\nname = "a"\nfile = "evil.pub"',
        "the same name",
    ),
    "the same key twice, once revoked": (
        'edgepack_trust = 1\n[[key]]\nname = "a"\nfile = "ours.pub"\n[[key]]\nname = "b"\nfile = "ours.pub"\nrevoked="x"',
        "the same key",
    ),
    "no such file": ('edgepack_trust = 1\n[[key]]\nname = "a"\nfile = "absent.pub"', "No such file"),
    "private": ('edgepack_trust = 1\n[[key]]\nname = "a"\nfile = "ours.key"', "is a private key"),
    "digest in upper case": (
        'edgepack_trust = 1\n[[key]]\nname = "a"\nfile = "ours.pub"\n[[revoked]]\npackage = "'
        + "A" * 64
        + '"\nreason = "x"',
        "64 hex digits",
    ),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_trust_files_that_are_none(scene: Scene, name: str) -> None:
    text, words = BAD_FILES[name]
    path = scene.folder / "bad.toml"
    path.write_text(text)
    with pytest.raises(errors.EdgepackError, match=words) as caught:
        bundle.Trust.of_file(path)
    assert caught.value.exit_code in (65, 74)


STATE = 'state = "counters.json"'


def test_a_memory_is_begun_on_purpose(scene: Scene) -> None:
    refused(scene, "memory against rollback is missing", STATE)
    rollback.start(scene.state)
    verified(scene, STATE)
    with pytest.raises(errors.StorageError, match="File exists"):
        rollback.start(scene.state)


def taken_into_use(scene: Scene) -> None:
    trust = bundle.Trust.of_file(scene.trust(STATE))
    accept(bundle.verify(scene.package, trust), trust)


def test_rollback(scene: Scene) -> None:
    rollback.start(scene.state)
    taken_into_use(scene)
    taken_into_use(scene)  # the same one again
    first, first_signature = scene.package.read_bytes(), scene.sidecar.read_bytes()
    scene.release(version="1.0.1")
    verified(scene, STATE)
    taken_into_use(scene)
    scene.package.write_bytes(first)
    scene.sidecar.write_bytes(first_signature)
    refused(scene, "rollback: has the counter 1000000, but .* has seen 1000001 of digits", STATE)
    verified(scene)  # without a memory


def test_looking_does_not_change_the_memory(scene: Scene) -> None:
    rollback.start(scene.state)
    before = scene.state.read_bytes()
    verified(scene, STATE)
    assert scene.state.read_bytes() == before


def test_two_packages_with_one_counter(scene: Scene) -> None:
    rollback.start(scene.state)
    taken_into_use(scene)
    scene.release(model=b"other")
    refused(scene, "has the counter 1000000 like another package", STATE)


def test_lineages_are_apart(scene: Scene) -> None:
    rollback.start(scene.state)
    scene.release(version="5.0.0", device="rpi4")
    taken_into_use(scene)
    scene.release(version="1.0.0", device="rpi5")
    taken_into_use(scene)
    scene.release(version="1.0.0", name="kws")
    taken_into_use(scene)
    assert set(json.loads(scene.state.read_bytes())["packages"]) == {"digits@rpi4", "digits@rpi5", "kws"}
    scene.release(version="4.9.9", device="rpi4")
    refused(scene, "rollback", STATE)


DAMAGE = {
    "empty": b"",
    "cut off": b'{"format":"edgepack.rollback/1","pack',
    "not JSON": b"\0" * 50,
    "a list": b"[]",
    "newer": b'{"format":"edgepack.rollback/2","packages":{}}',
    "more in it": b'{"format":"edgepack.rollback/1","packages":{},"x":1}',
    "packages a list": b'{"format":"edgepack.rollback/1","packages":[]}',
    "counter a word": b'{"format":"edgepack.rollback/1","packages":{"digits":{"counter":"1","sha256":""}}}',
    "counter lowered below zero": b'{"format":"edgepack.rollback/1","packages":{"digits":{"counter":-1,"sha256":""}}}',
    "entry twice": b'{"format":"edgepack.rollback/1","packages":{},"packages":{}}',
    "giant": b" " * 1_000_001,
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_memory_refuses_everything(scene: Scene, name: str) -> None:
    scene.state.write_bytes(DAMAGE[name])
    refused(scene, "memory against rollback is damaged", STATE)
    with pytest.raises(device_verifier.Untrusted, match="damaged"):
        device_verifier.verify(scene.package, [scene.key], state=scene.state)
    assert scene.state.read_bytes() == DAMAGE[name]


def test_a_removed_memory_refuses_everything(scene: Scene) -> None:
    rollback.start(scene.state)
    taken_into_use(scene)
    scene.state.unlink()
    refused(scene, "missing", STATE)
    with pytest.raises(errors.TrustError, match="missing"):
        rollback.record(scene.state, bundle.read_contents(scene.package), 5)


def test_the_device_verifier_shares_the_memory(scene: Scene) -> None:
    rollback.start(scene.state)
    scene.release(version="1.0.1", device="rpi4")
    device_verifier.verify(scene.package, [scene.key], state=scene.state)
    by_device = scene.state.read_bytes()
    taken_into_use(scene)
    assert scene.state.read_bytes() == by_device  # in the same form
    scene.release(version="1.0.2", device="rpi4")
    taken_into_use(scene)
    scene.release(version="1.0.1", device="rpi4")
    with pytest.raises(device_verifier.Untrusted, match="rollback: counter 1000001, but 1000002"):
        device_verifier.verify(scene.package, [scene.key], state=scene.state)
    scene.release(counter=1_000_002, model=b"other", device="rpi4")
    with pytest.raises(device_verifier.Untrusted, match="another package"):
        device_verifier.verify(scene.package, [scene.key], state=scene.state)


def test_a_signature_without_a_counter_is_no_update(scene: Scene) -> None:
    statement = scene.statement()
    del statement["predicate"]["edgepack"]
    scene.sign_payload(json.dumps(statement).encode())
    assert verified(scene).counter is None
    rollback.start(scene.state)
    refused(scene, "no counter", STATE)
    refused(scene, "no counter", key="until_counter = 5")
    with pytest.raises(device_verifier.Untrusted, match="no counter"):
        device_verifier.verify(scene.package, [scene.key], state=scene.state)


def _record(arguments: tuple[Path, Path, int]) -> bool:
    state, package, counter = arguments
    contents = dataclasses.replace(bundle.read_contents(package), sha256=f"{counter:064}")
    try:
        rollback.record(state, contents, counter)
    except errors.TrustError:
        return False
    return True


def test_processes_at_once_never_lower_it(scene: Scene) -> None:
    rollback.start(scene.state)
    with multiprocessing.get_context("fork").Pool(4) as pool:
        taken = pool.map(
            _record, [(scene.state, scene.package, counter) for counter in (3, 9, 1, 7, 9, 2)], 1
        )
    assert any(taken)
    assert json.loads(scene.state.read_bytes())["packages"]["digits"]["counter"] == 9


def test_only_verify_makes_a_verified_bundle(scene: Scene) -> None:
    found = verified(scene)
    with pytest.raises(TypeError, match=r"only edgepack\.bundle\.verify"):
        bundle.VerifiedBundle(contents=found.contents, key=found.key, counter=1, signature=b"", door=None)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(found, counter=2)


def test_admission(scene: Scene) -> None:
    by_key = bundle.admit(scene.package, keys=[scene.key])
    by_file = bundle.admit(scene.package, trust=scene.trust(STATE))  # its memory is that of a device
    assert isinstance(by_key, bundle.VerifiedBundle) and isinstance(by_file, bundle.VerifiedBundle)
    with pytest.raises(errors.TrustError, match="--allow-unsigned"):
        bundle.admit(scene.package)
    scene.sidecar.unlink()
    with pytest.raises(errors.TrustError, match="is not signed"):
        bundle.admit(scene.package, keys=[scene.key])
    with pytest.raises(errors.TrustError, match="is not signed"):  # said aloud or not: a key was named
        bundle.admit(scene.package, keys=[scene.key], allow_unsigned=True)
    unsigned = bundle.admit(scene.package, allow_unsigned=True)
    assert isinstance(unsigned, bundle.UnsignedBundle)
    assert unsigned.signature is None
    assert unsigned.package().model == unsigned.contents.members["model.tflite"]
    scene.package.write_bytes(scene.package.read_bytes()[:-1])
    with pytest.raises(errors.PackageError):
        bundle.admit(scene.package, allow_unsigned=True)
    with pytest.raises(errors.BadInputError, match="either"):
        bundle.admit(scene.package, keys=[scene.key], trust=scene.trust())


def test_a_fingerprint_is_that_of_the_key_in_any_pem(scene: Scene) -> None:
    one_line = public_pem("ours").replace(b"\n", b"\r\n")
    scene.key.write_bytes(b"this is our key\n" + one_line)
    bundle.verify(scene.package, bundle.Trust.of_keys([scene.key]))
    device_verifier.verify(scene.package, [scene.key])
