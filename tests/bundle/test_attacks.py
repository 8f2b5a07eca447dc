"""Packages that somebody tampered with: every one refused, each with its own words, none with a traceback."""

from __future__ import annotations

import io
import json
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgepack import bundle, errors
from edgepack.bundle import archive
from edgepack.records import canonical_json

Members = dict[str, bytes]


def _members(data: bytes) -> Members:
    return archive.read(data, "good")


def _refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "bad.edgepack"
    path.write_bytes(data)
    with pytest.raises(errors.PackageError, match=words) as caught:
        bundle.read(path)
    assert caught.value.exit_code == 65
    assert str(path) in str(caught.value)


def _rezipped(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The way an ordinary zip tool would write it."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as file:
        warnings.simplefilter("ignore")  # zipfile warns of duplicate names, which some attacks want
        for name, content in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system, info.external_attr = compression, 3, 0o100644 << 16
            file.writestr(info, content)
    return buffer.getvalue()


def _insert(members: Members, place: int, name: str, content: bytes) -> bytes:
    listed = list(members.items())
    return _rezipped([*listed[:place], (name, content), *listed[place:]])


def _with_manifest(
    members: Members, change: Callable[[dict[str, Any]], None], *, canonical: bool = True
) -> bytes:
    document = json.loads(members["manifest.json"])
    change(document)
    text = canonical_json(document) if canonical else json.dumps(document, indent=1).encode()
    return archive.write({**members, "manifest.json": text})


def test_the_ordinary_zip_of_the_same_members_is_the_same_file(packed: bundle.Package) -> None:
    """So that the attacks below differ in nothing but their attack."""
    data = packed.path.read_bytes()
    assert _rezipped(list(_members(data).items())) == data


ATTACKS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty file": (lambda data: b"", "is not an .edgepack package"),
    "text": (lambda data: b"hello", "is not an .edgepack package"),
    "something before": (lambda data: b"#!/bin/sh\n" + data, "is not an .edgepack package"),
    "cut off in a member": (lambda data: data[:2000], "is cut off"),
    "cut off in the directory": (lambda data: data[:-30], "directory is cut off"),
    "trailing bytes": (lambda data: data + b"\0" * 7, "7 bytes follow the end"),
    "a second package behind": (lambda data: data + data, "bytes follow the end"),
    "zip comment": (
        lambda data: data[:-2] + struct.pack("<H", 4) + b"note",
        "directory is cut off or does not match",
    ),
    "member twice": (
        lambda data: _insert(_members(data), 2, "model.tflite", b"evil"),
        "'model.tflite' a second time",
    ),
    "member more": (
        lambda data: _insert(_members(data), 4, "setup.py", b"evil"),
        "further member 'setup.py'",
    ),
    "member more, first": (
        lambda data: _insert(_members(data), 0, "a", b""),
        "the member 'a' where manifest.json",
    ),
    "path upwards": (
        lambda data: _insert(_members(data), 1, "../../evil", b""),
        "'../../evil' where model.tflite",
    ),
    "absolute path": (lambda data: _insert(_members(data), 1, "/etc/passwd", b""), "'/etc/passwd' where"),
    "folder": (lambda data: _insert(_members(data), 1, "model.tflite/", b""), "'model.tflite/' where"),
    "upper case": (
        lambda data: _rezipped([(name.upper(), content) for name, content in _members(data).items()]),
        "'MANIFEST.JSON' where manifest.json",
    ),
    "other order": (
        lambda data: _rezipped(list(_members(data).items())[::-1]),
        "'recipe.toml' where manifest.json",
    ),
    "member less": (lambda data: _rezipped(list(_members(data).items())[:3]), "no member where recipe.toml"),
    "deflated": (
        lambda data: _rezipped(list(_members(data).items()), zipfile.ZIP_DEFLATED),
        "manifest.json is compressed",
    ),
    "model changed": (
        lambda data: archive.write({**_members(data), "model.tflite": b"evil"}),
        "model.tflite is not what",
    ),
    "golden changed": (
        lambda data: archive.write({**_members(data), "golden.bin": b""}),
        "golden.bin is not what",
    ),
    "recipe changed": (
        lambda data: archive.write({**_members(data), "recipe.toml": b""}),
        "recipe.toml is not what",
    ),
    "manifest no JSON": (
        lambda data: archive.write({**_members(data), "manifest.json": b"{"}),
        "is not JSON",
    ),
    "manifest a list": (
        lambda data: archive.write({**_members(data), "manifest.json": b"[]"}),
        "lacks one of",
    ),
    "manifest NaN": (
        lambda data: archive.write({**_members(data), "manifest.json": b'{"a":NaN}'}),
        "is not JSON",
    ),
    "manifest too deep": (
        lambda data: archive.write({**_members(data), "manifest.json": b"[" * 100_000}),
        "is not JSON",
    ),
    "manifest not UTF-8": (
        lambda data: archive.write({**_members(data), "manifest.json": b"\xff"}),
        "is not JSON",
    ),
    "manifest pretty": (
        lambda data: _with_manifest(_members(data), lambda document: None, canonical=False),
        "not in canonical form",
    ),
    "manifest with a key twice": (
        lambda data: archive.write(
            {
                **_members(data),
                "manifest.json": _members(data)["manifest.json"].replace(
                    b'"name":', b'"name":"x","name":', 1
                ),
            }
        ),
        "not in canonical form|do not fit",
    ),
    "newer format": (
        lambda data: _with_manifest(
            _members(data), lambda document: document.update(format="edgepack.package/2")
        ),
        "has the format 'edgepack.package/2'",
    ),
    "unlisted member": (
        lambda data: _with_manifest(_members(data), lambda document: document["members"].pop("model.tflite")),
        "lists other members",
    ),
    "members no table": (
        lambda data: _with_manifest(_members(data), lambda document: document.update(members=3)),
        "lists other members",
    ),
    "golden of another model": (
        lambda data: _with_manifest(
            _members(data), lambda document: document["golden"].update(model_sha256="0" * 64)
        ),
        "belong to another model",
    ),
    "golden no table": (
        lambda data: _with_manifest(_members(data), lambda document: document.update(golden=None)),
        "do not fit their description",
    ),
    "golden tolerance a word": (
        lambda data: _with_manifest(
            _members(data), lambda document: document["golden"]["checks"][0].update(tolerance="any")
        ),
        "do not fit their description",
    ),
    "golden claims a terabyte": (
        lambda data: _with_manifest(
            _members(data), lambda document: document["golden"]["tensors"][0].update(shape=[1 << 40])
        ),
        "do not fit their description",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_refused(packed: bundle.Package, tmp_path: Path, name: str) -> None:
    attack, words = ATTACKS[name]
    _refused(tmp_path, attack(packed.path.read_bytes()), words)


HEADER_FIELDS = {
    "version": (4, "<H", 45, "other dates or versions"),
    "encrypted": (6, "<H", 1, "compressed, encrypted"),
    "data descriptor": (6, "<H", 8, "compressed, encrypted"),
    "date": (12, "<H", 0x5A21, "other dates or versions"),
    "CRC-32": (14, "<L", 0, "damaged"),
    "size over the limit": (22, "<L", 0xFFFFFFFF, "compressed, encrypted|claims"),
    "extra field": (28, "<H", 4, "extra fields"),
}


@pytest.mark.parametrize("field", HEADER_FIELDS)
def test_local_header(packed: bundle.Package, tmp_path: Path, field: str) -> None:
    offset, form, value, words = HEADER_FIELDS[field]
    data = bytearray(packed.path.read_bytes())
    struct.pack_into(form, data, offset, value)
    _refused(tmp_path, bytes(data), words)


def test_sizes_are_limited_before_anything_is_sliced(packed: bundle.Package, tmp_path: Path) -> None:
    data = bytearray(packed.path.read_bytes())
    struct.pack_into("<LL", data, 18, 17_000_000, 17_000_000)
    _refused(tmp_path, bytes(data), "manifest.json claims 17,000,000 bytes; at most 16,000,000")


def test_a_file_larger_than_any_package_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.edgepack"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(errors.PackageError, match="more than a package can have"):
        bundle.read(path)


def test_no_flipped_bit_goes_unnoticed(packed: bundle.Package, tmp_path: Path) -> None:
    good = packed.path.read_bytes()
    random_bits = random.Random(0)
    places = {
        *range(64),
        *(random_bits.randrange(len(good)) for _ in range(400)),
        *range(len(good) - 40, len(good)),
    }
    for place in sorted(places):
        bad = bytearray(good)
        bad[place] ^= 1 << random_bits.randrange(8)
        _refused(tmp_path, bytes(bad), ".")


def test_no_truncation_goes_unnoticed(packed: bundle.Package, tmp_path: Path) -> None:
    good = packed.path.read_bytes()
    for length in range(0, len(good), max(1, len(good) // 150)):
        _refused(tmp_path, good[:length], ".")


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(errors.StorageError, match="No such file"):
        bundle.read(tmp_path / "absent.edgepack")
    with pytest.raises(errors.StorageError, match="Is a directory"):
        bundle.read(tmp_path)
