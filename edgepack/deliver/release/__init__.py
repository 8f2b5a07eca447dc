"""`--to release`: what a release script publishes: the files, their checksums, an ML-BOM, provenance, and JSON about all."""

from __future__ import annotations

import hashlib

from edgepack.deliver.options import Options
from edgepack.deliver.release import bill_of_materials, provenance
from edgepack.deliver.subject import Subject
from edgepack.deliver.tree import Tree
from edgepack.records import Json, canonical_json

FORMAT = "edgepack.release/1"


def tree(subject: Subject, options: Options) -> Tree:
    """Package, signature, bare model, SHA256SUMS, CycloneDX ML-BOM, SLSA provenance and release.json."""
    stem = f"{subject.name}-{subject.version}"
    files: dict[str, bytes] = {f"{stem}.edgepack": subject.package_bytes, f"{stem}.tflite": subject.model}
    if subject.signature is not None:
        files[f"{stem}.edgepack.sig"] = subject.signature
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    files[f"{stem}.cdx.json"] = bill_of_materials.document(subject, digests)
    files[f"{stem}.provenance.json"] = provenance.document(subject, digests)
    files["release.json"] = _summary(subject, files)
    files["SHA256SUMS"] = checksums(files)
    return files


def checksums(files: Tree) -> bytes:
    """As `sha256sum --check` reads them, sorted by name."""
    rows = []
    for name in sorted(files):
        content = files[name]
        assert isinstance(content, bytes)
        rows.append(f"{hashlib.sha256(content).hexdigest()}  {name}\n")
    return "".join(rows).encode()


def _summary(subject: Subject, files: dict[str, bytes]) -> bytes:
    """For scripts: one object, canonical JSON."""
    manifest = subject.manifest
    listed: dict[str, Json] = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in files.items()
    }
    told: dict[str, Json] = {
        "schema": FORMAT,
        "name": subject.name,
        "version": subject.version,
        "signed": subject.signed,
        "device": manifest.get("device"),
        "files": listed,
    }
    told |= {
        key: manifest[key] for key in ("status", "metric", "sizes", "macs", "parameters") if key in manifest
    }
    return canonical_json(told) + b"\n"
