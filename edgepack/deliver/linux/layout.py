"""What lies where on a Linux system."""

from __future__ import annotations

from collections.abc import Mapping

from edgepack.deliver.subject import Subject
from edgepack.records import canonical_json

ROOT = "usr/share/edgepack"


def installed_files(subject: Subject) -> Mapping[str, bytes]:
    """Path below /usr/share/edgepack → contents: one folder a version, so that two can lie side by side."""
    folder = f"{subject.name}/{subject.version}"
    files = {
        f"{folder}/model.tflite": subject.model,
        f"{folder}/manifest.json": canonical_json(dict(subject.manifest)) + b"\n",
        f"{folder}/SHA256SUMS": f"{subject.sha256}  model.tflite\n".encode(),
        f"{folder}/{subject.name}-{subject.version}.edgepack": subject.package_bytes,
    }
    if subject.labels:
        files[f"{folder}/labels.txt"] = ("\n".join(subject.labels) + "\n").encode()
    if subject.signature is not None:
        files[f"{folder}/{subject.name}-{subject.version}.edgepack.sig"] = subject.signature
    return files
