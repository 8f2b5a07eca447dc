"""What a stranger may write into a package's manifest: refused by name where it would become a path, a script or code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgepack import bundle, errors
from edgepack.bundle import archive
from edgepack.channel import create
from edgepack.cli import inspection
from edgepack.deliver import android, ios, linux, mcu, release
from edgepack.deliver.options import Options
from edgepack.deliver.subject import Subject
from edgepack.records import Json, canonical_json
from tests.agent.conftest import World

RECEIVERS = {"android": android, "ios": ios, "linux": linux, "mcu": mcu, "release": release}
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    1e300,
    10**400,
    "",
    "../../x",
    "x\n\x1b[2J",
    [],
    [[]],
    {},
    {"a": []},
)
"""What stands where something else is expected."""

HOSTILE: dict[str, tuple[tuple[str | int, ...], Json]] = {
    "name: a path": (("name",), "../../etc/cron.d/x"),
    "name: a command": (("name",), "x; touch /tmp/owned"),
    "name: source code": (("name",), 'x"); System.exit(0); ("'),
    "name: two lines": (("name",), "x\nDepends: evil"),
    "version: a path": (("version",), "../1"),
    "version: a command": (("version",), "1$(reboot)"),
    "version: other digits": (("version",), "١.٢"),
    "device: a path": (("device",), {"name": "../x"}),
    "dtype: the end of a comment": (("inputs", 0, "dtype"), "int8 */ evil /*"),
    "scale: source code": (("inputs", 0, "scale"), "1f\n#define main evil"),
    "shape: source code": (("inputs", 0, "shape"), ["1]; evil["]),
    "tensor: steers a terminal": (("inputs", 0, "name"), "\x1b]0;x\x07"),
    "label: two lines": (("labels",), ["a\nb"]),
    "label: a number": (("labels",), [3]),
    "digest: text": (("sources", "model_sha256"), "urn:x"),
    "metric: no number": (("metric", "tflite"), "99"),
    "size: beyond everything": (("sizes",), {"file_bytes": 10**400}),
}


def changed(package: Path, folder: Path, *changes: tuple[tuple[str | int, ...], Json]) -> Path:
    """A sound container around a manifest of which something is changed."""
    members = dict(archive.read(package.read_bytes(), "good"))
    manifest = json.loads(members["manifest.json"])
    for path, value in changes:
        place = manifest
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
    target = folder / "changed.edgepack"
    target.write_bytes(archive.write({**members, "manifest.json": canonical_json(manifest)}))
    return target


def delivered(path: Path, receiver: str) -> dict[str, Any]:
    subject = Subject.of(bundle.admit(path, allow_unsigned=True))
    return dict(RECEIVERS[receiver].tree(subject, Options()))


@pytest.mark.parametrize("what", HOSTILE)
def test_refused_by_name(what: str, package_file: Path, tmp_path: Path) -> None:
    path, value = HOSTILE[what]
    package = changed(package_file, tmp_path, (path, value))
    key = next(part for part in reversed(path) if isinstance(part, str))
    for receiver in RECEIVERS:
        with pytest.raises(errors.PackageError, match=key):
            delivered(package, receiver)


def test_the_scene_is_sound(package_file: Path) -> None:
    for receiver in RECEIVERS:
        assert delivered(package_file, receiver)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([(("inputs",), [])], "inputs: the golden vectors have 'serving_x'"),
        ([(("outputs", 0, "name"), "other")], "outputs: no golden vector has 'other'"),
        ([(("inputs", 0, "shape"), [1, 13])], "golden vectors as int8"),
        ([(("inputs", 0, "dtype"), "float32")], "golden vectors as int8"),
    ],
)
def test_a_contract_that_is_not_the_models(
    changes: list[tuple[tuple[str | int, ...], Json]], words: str, package_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(errors.PackageError, match=words):
        delivered(changed(package_file, tmp_path, *changes), "mcu")


def test_a_channel_takes_no_path_for_a_name(world: World, tmp_path: Path) -> None:
    create(tmp_path / "public", tmp_path / "secret", family="test", now=world.now)
    package = changed(world.make_package("1.0.0"), tmp_path, (("name",), "../../evil"))
    with pytest.raises(errors.PackageError, match='"name"'):
        world.channel().add(bundle.admit(package, allow_unsigned=True))
    assert not list(tmp_path.rglob("*evil*"))


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def test_anything_anywhere(package_file: Path, tmp_path: Path) -> None:
    """Every value of the manifest is exchanged for something else: told as a defect of the package, or of no matter."""
    manifest = json.loads(archive.read(package_file.read_bytes(), "good")["manifest.json"])
    refused = tried = 0
    for number, place in enumerate(places(manifest)):
        for value in VALUES[number % 3 :: 3]:
            package = changed(package_file, tmp_path, (place, value))
            receiver = list(RECEIVERS)[tried % len(RECEIVERS)]
            tried += 1
            try:
                inspection.show(package, inspection.of(package, "package"))
                delivered(package, receiver)
            except errors.EdgepackError as error:
                assert error.exit_code in (65, 10), (place, value, receiver, error)
                refused += 1
    assert tried > 200 and refused > 0.5 * tried
