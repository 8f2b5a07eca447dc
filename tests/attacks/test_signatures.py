"""Every attack on a signed package is refused with its own words, by `verify` and by the device's verifier alike."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from edgepack import bundle, errors
from edgepack.bundle import device_verifier
from tests.attacks.archives import ATTACKS
from tests.attacks.signed import EVERY, Scene
from tests.cli.conftest import COMMAND


def verdict(scene: Scene) -> int:
    """Exit code of `verify`."""
    try:
        bundle.verify(scene.package, bundle.Trust.of_keys([scene.key]))
    except errors.EdgepackError as error:
        return error.exit_code
    return 0


def device_verdict(scene: Scene) -> int:
    """Exit code of the verifier in one file."""
    try:
        device_verifier.verify(scene.package, [scene.key])
    except (device_verifier.Broken, device_verifier.Untrusted) as error:
        return error.exit_code
    return 0


def test_the_scene_is_sound(scene: Scene) -> None:
    """So that nothing below is refused for a reason of its own."""
    assert verdict(scene) == device_verdict(scene) == 0


@pytest.mark.parametrize("name", EVERY)
def test_refused(scene: Scene, name: str) -> None:
    attack, words = EVERY[name]
    attack(scene)
    with pytest.raises(errors.TrustError, match=words) as caught:
        bundle.verify(scene.package, bundle.Trust.of_keys([scene.key]))
    assert caught.value.exit_code == 77
    assert str(scene.folder) in str(caught.value)
    assert device_verdict(scene) == 77


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_on_the_container_passes(scene: Scene, name: str) -> None:
    attack, _ = ATTACKS[name]
    scene.package.write_bytes(attack(scene.package.read_bytes()))
    found = verdict(scene)
    assert found in (65, 77)
    assert device_verdict(scene) == found


def test_no_flipped_bit_of_the_package_passes(scene: Scene) -> None:
    good = scene.package.read_bytes()
    bits = random.Random(0)
    directory = good.index(b"PK\x01\x02")
    for place in (*range(40), *range(40, directory, 31), *range(directory, len(good))):
        bad = bytearray(good)
        bad[place] ^= 1 << bits.randrange(8)
        scene.package.write_bytes(bytes(bad))
        assert verdict(scene) == device_verdict(scene) == 65, place


def test_no_flipped_bit_of_the_signature_file_passes(scene: Scene) -> None:
    good = scene.sidecar.read_bytes()
    bits = random.Random(0)
    for place in range(0, len(good), 5):
        bad = bytearray(good)
        bad[place] ^= 1 << bits.randrange(8)
        scene.sidecar.write_bytes(bytes(bad))
        assert verdict(scene) == device_verdict(scene) == 77, place


@pytest.mark.parametrize("what", ["package", "sidecar"])
def test_no_truncation_passes(scene: Scene, what: str) -> None:
    path: Path = getattr(scene, what)
    good = path.read_bytes()
    for length in range(0, len(good), 37):
        path.write_bytes(good[:length])
        assert verdict(scene) == device_verdict(scene) == (65 if what == "package" else 77), length


def test_spliced_packages_do_not_pass(scene: Scene) -> None:
    """Two packages that are both signed by the trusted key, cut and joined."""
    first = scene.package.read_bytes()
    scene.release(version="1.0.1", model=b"other" * 299)
    second = scene.package.read_bytes()
    for place in range(20, min(len(first), len(second)), 53):
        for joined in (first[:place] + second[place:], second[:place] + first[place:]):
            if joined in (first, second):
                continue
            scene.package.write_bytes(joined)
            assert verdict(scene) == device_verdict(scene) != 0, place


def test_what_was_verified_is_what_is_used(scene: Scene) -> None:
    """The file may be exchanged as soon as it was read: nobody reads it again."""
    before = scene.package.read_bytes()
    found = bundle.verify(scene.package, bundle.Trust.of_keys([scene.key]))
    scene.package.write_bytes(b"evil")
    assert found.contents.members["model.tflite"] in before
    assert found.package().model == found.contents.members["model.tflite"]


def test_verification_needs_no_network(scene: Scene) -> None:
    """In a network namespace of its own, where nothing can be reached."""
    answer = subprocess.run(
        ["unshare", "--map-root-user", "--net", COMMAND, "verify", scene.package, "--key", scene.key],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in answer.stderr:
        pytest.skip(answer.stderr)
    assert answer.returncode == 0, answer.stderr
