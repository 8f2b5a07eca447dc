"""Random damage: never accepted, never an error of another kind than the promised ones; and both verifiers agree."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from edgepack import bundle, errors
from edgepack.bundle import archive, device_verifier, envelope
from edgepack.bundle.reading import PAYLOADS
from tests.attacks.mutations import mutations
from tests.attacks.signed import Scene, package_bytes
from tests.attacks.test_signatures import device_verdict, verdict
from tests.cli.conftest import COMMAND


def _damage_of_packages(scene: Scene, count: int) -> Iterator[int]:
    other = package_bytes(version="1.0.1", model=b"other" * 299)
    for bad in mutations(scene.package.read_bytes(), other, count):
        scene.package.write_bytes(bad)
        yield verdict(scene)


def _damage_of_signatures(scene: Scene, count: int) -> Iterator[int]:
    good = scene.sidecar.read_bytes()
    scene.release("evil", model=b"other")
    other = scene.sidecar.read_bytes()
    scene.release()
    for bad in mutations(good, other, count):
        scene.sidecar.write_bytes(bad)
        yield verdict(scene)


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_packages(scene: Scene, count: int) -> None:
    assert set(_damage_of_packages(scene, count)) == {65}


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_signatures(scene: Scene, count: int) -> None:
    assert set(_damage_of_signatures(scene, count)) == {77}


@pytest.mark.parametrize("count", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_both_verifiers_read_statements_alike(scene: Scene, count: int) -> None:
    """Damaged statements that the trusted key signed all the same: here parsing decides, not the signature."""
    good = scene.payload
    scene.release(model=b"other")
    other = scene.payload
    scene.release()
    verdicts = set()
    for bad in mutations(good, other, count):
        scene.sign_payload(bad)
        found = verdict(scene)
        assert device_verdict(scene) == found, bad
        verdicts.add(found)
    assert 77 in verdicts and verdicts <= {
        0,
        77,
    }  # 0: where the subject's name was hit, by which nothing is decided


@pytest.mark.parametrize("count", [200, pytest.param(2000, marks=pytest.mark.slow)])
def test_both_verifiers_read_manifests_alike(scene: Scene, count: int) -> None:
    """Damaged manifests in a sound container, signed by the trusted key."""
    members = dict(archive.read(scene.package.read_bytes(), "good"))
    for bad in mutations(members["manifest.json"], b'"\\ud800\xff1e9"' * 9, count):
        scene.package.write_bytes(archive.write({**members, "manifest.json": bad}))
        try:
            bundle.read_contents(scene.package)
            expected = 77  # sound, but the signature is that of the undamaged one
        except errors.PackageError:
            expected = 65
        assert verdict(scene) == device_verdict(scene) == expected, bad


@pytest.mark.parametrize("count", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_both_verifiers_read_containers_alike(scene: Scene, count: int) -> None:
    for bad in mutations(scene.package.read_bytes(), b"PK\x01\x02PK\x03\x04PK\x05\x06" * 9, count):
        scene.package.write_bytes(bad)
        assert verdict(scene) == device_verdict(scene) == 65


@pytest.mark.slow
@pytest.mark.parametrize("what", ["package", "sidecar"])
def test_the_installed_command(scene: Scene, what: str) -> None:
    path = scene.package if what == "package" else scene.sidecar
    for bad in mutations(path.read_bytes(), b"PK\x03\x04{}", 200):
        path.write_bytes(bad)
        answer = subprocess.run(
            [COMMAND, "verify", scene.package, "--key", scene.key],
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
        assert answer.returncode == (65 if what == "package" else 77)
        assert answer.stderr.startswith("edgepack: ") and "Traceback" not in answer.stderr
        assert answer.stdout == ""


def test_the_two_write_the_same_archive(scene: Scene) -> None:
    members = dict(archive.read(scene.package.read_bytes(), "good"))
    assert device_verifier.write_archive(members) == archive.write(members)
    assert device_verifier.LIMITS_BYTES == archive.MEMBER_LIMITS_BYTES
    assert {*PAYLOADS, "manifest.json", archive.OPTIONAL} == set(device_verifier.LIMITS_BYTES)
    assert device_verifier.OPTIONAL == archive.OPTIONAL
    more = {**members, archive.OPTIONAL: members["model.tflite"]}
    assert (
        device_verifier.read_archive(archive.write(more)) == archive.read(archive.write(more), "good") == more
    )
    assert device_verifier.MEDIA_TYPE == envelope.MEDIA_TYPE
