"""What somebody may do to a package's container and manifest. Made in code: every attack says what it changes."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

from edgepack.bundle import archive
from edgepack.records import canonical_json

Members = dict[str, bytes]


def members_of(data: bytes) -> Members:
    return archive.read(data, "good")


def rezipped(members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """The way an ordinary zip tool would write it."""
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as file:
        warnings.simplefilter("ignore")  # zipfile warns of duplicate names, which some attacks want
        for name, content in members:
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.compress_type, info.create_system, info.external_attr = compression, 3, 0o100644 << 16
            file.writestr(info, content)
    return buffer.getvalue()


def inserted(members: Members, place: int, name: str, content: bytes) -> bytes:
    listed = list(members.items())
    return rezipped([*listed[:place], (name, content), *listed[place:]])


def with_manifest(
    members: Members, change: Callable[[dict[str, Any]], None], *, canonical: bool = True
) -> bytes:
    document = json.loads(members["manifest.json"])
    change(document)
    text = canonical_json(document) if canonical else json.dumps(document, indent=1).encode()
    return archive.write({**members, "manifest.json": text})


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
        lambda data: inserted(members_of(data), 2, "model.tflite", b"evil"),
        "'model.tflite' a second time",
    ),
    "member more": (
        lambda data: inserted(members_of(data), 4, "setup.py", b"evil"),
        "further member 'setup.py'",
    ),
    "member more, first": (
        lambda data: inserted(members_of(data), 0, "a", b""),
        "the member 'a' where manifest.json",
    ),
    "path upwards": (
        lambda data: inserted(members_of(data), 1, "../../evil", b""),
        "'../../evil' where model.tflite",
    ),
    "absolute path": (lambda data: inserted(members_of(data), 1, "/etc/passwd", b""), "'/etc/passwd' where"),
    "folder": (lambda data: inserted(members_of(data), 1, "model.tflite/", b""), "'model.tflite/' where"),
    "upper case": (
        lambda data: rezipped([(name.upper(), content) for name, content in members_of(data).items()]),
        "'MANIFEST.JSON' where manifest.json",
    ),
    "other order": (
        lambda data: rezipped(list(members_of(data).items())[::-1]),
        "'recipe.toml' where manifest.json",
    ),
    "member less": (lambda data: rezipped(list(members_of(data).items())[:3]), "no member where recipe.toml"),
    "deflated": (
        lambda data: rezipped(list(members_of(data).items()), zipfile.ZIP_DEFLATED),
        "manifest.json is compressed",
    ),
    "model changed": (
        lambda data: archive.write({**members_of(data), "model.tflite": b"evil"}),
        "model.tflite is not what",
    ),
    "golden changed": (
        lambda data: archive.write({**members_of(data), "golden.bin": b""}),
        "golden.bin is not what",
    ),
    "recipe changed": (
        lambda data: archive.write({**members_of(data), "recipe.toml": b""}),
        "recipe.toml is not what",
    ),
    "manifest no JSON": (
        lambda data: archive.write({**members_of(data), "manifest.json": b"{"}),
        "is not JSON",
    ),
    "manifest a list": (
        lambda data: archive.write({**members_of(data), "manifest.json": b"[]"}),
        "lacks one of",
    ),
    "manifest NaN": (
        lambda data: archive.write({**members_of(data), "manifest.json": b'{"a":NaN}'}),
        "is not JSON",
    ),
    "manifest too deep": (
        lambda data: archive.write({**members_of(data), "manifest.json": b"[" * 100_000}),
        "is not JSON",
    ),
    "manifest not UTF-8": (
        lambda data: archive.write({**members_of(data), "manifest.json": b"\xff"}),
        "is not JSON",
    ),
    "manifest pretty": (
        lambda data: with_manifest(members_of(data), lambda document: None, canonical=False),
        "not in canonical form",
    ),
    "manifest with a key twice": (
        lambda data: archive.write(
            {
                **members_of(data),
                "manifest.json": members_of(data)["manifest.json"].replace(
                    b'"name":', b'"name":"x","name":', 1
                ),
            }
        ),
        "not in canonical form|do not fit",
    ),
    "newer format": (
        lambda data: with_manifest(
            members_of(data), lambda document: document.update(format="edgepack.package/2")
        ),
        "has the format 'edgepack.package/2'",
    ),
    "unlisted member": (
        lambda data: with_manifest(
            members_of(data), lambda document: document["members"].pop("model.tflite")
        ),
        "lists other members",
    ),
    "members no table": (
        lambda data: with_manifest(members_of(data), lambda document: document.update(members=3)),
        "lists other members",
    ),
    "golden of another model": (
        lambda data: with_manifest(
            members_of(data), lambda document: document["golden"].update(model_sha256="0" * 64)
        ),
        "belong to another model",
    ),
    "golden no table": (
        lambda data: with_manifest(members_of(data), lambda document: document.update(golden=None)),
        "do not fit their description",
    ),
    "golden tolerance a word": (
        lambda data: with_manifest(
            members_of(data), lambda document: document["golden"]["checks"][0].update(tolerance="any")
        ),
        "do not fit their description",
    ),
    "golden claims a terabyte": (
        lambda data: with_manifest(
            members_of(data), lambda document: document["golden"]["tensors"][0].update(shape=[1 << 40])
        ),
        "do not fit their description",
    ),
}
