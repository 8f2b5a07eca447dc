"""What a release publishes: checksums that hold, an ML-BOM that validates, provenance that claims what is true."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from edgepack.deliver import deliver
from edgepack.deliver import release as receiver
from edgepack.deliver.options import Options
from edgepack.deliver.subject import Subject

STEM = "tiny-model-1.2.3"


def test_checksums_are_those_of_the_files(subject: Subject, tmp_path: Path) -> None:
    deliver(subject, "release", Options(), tmp_path / "out")
    words = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(words, cwd=tmp_path / "out", check=False).returncode == 0
    listed = {line.split()[1] for line in (tmp_path / "out/SHA256SUMS").read_text().splitlines()}
    there = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")}
    assert listed == there - {"SHA256SUMS"}


def test_the_ml_bom_passes_the_strict_validator(subject: Subject) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    text = bytes(receiver.tree(subject, Options())[f"{STEM}.cdx.json"]).decode()  # type: ignore[arg-type]
    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    assert bom["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": subject.sha256}]
    metrics = bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [metric["value"] for metric in metrics] == ["0.94", "0.95"]


def test_provenance_speaks_for_the_published_files(subject: Subject) -> None:
    files = receiver.tree(subject, Options())
    statement = json.loads(bytes(files[f"{STEM}.provenance.json"]))  # type: ignore[arg-type]
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
    for entry in statement["subject"]:
        assert hashlib.sha256(bytes(files[entry["name"]])).hexdigest() == entry["digest"]["sha256"]  # type: ignore[arg-type]
    predicate = statement["predicate"]
    assert set(predicate["runDetails"]) == {"builder"}  # no times, no invocation, no hosted builder
    assert predicate["buildDefinition"]["externalParameters"]["recipe"] == subject.package.recipe_text


def test_the_summary_is_one_line_for_scripts(subject: Subject) -> None:
    text = bytes(receiver.tree(subject, Options())["release.json"])  # type: ignore[arg-type]
    assert text.count(b"\n") == 1
    told = json.loads(text)
    assert told["schema"] == "edgepack.release/1"
    assert told["signed"] is False
    assert told["files"][f"{STEM}.tflite"] == {"sha256": subject.sha256, "bytes": len(subject.model)}


def test_a_signature_travels_along(subject: Subject) -> None:
    from dataclasses import replace

    files = receiver.tree(replace(subject, signature=b"{}"), Options())
    assert files[f"{STEM}.edgepack.sig"] == b"{}"
    assert b".edgepack.sig" in bytes(files["SHA256SUMS"])  # type: ignore[arg-type]


def test_twice_the_same_bytes(subject: Subject) -> None:
    assert receiver.tree(subject, Options()) == receiver.tree(subject, Options())
