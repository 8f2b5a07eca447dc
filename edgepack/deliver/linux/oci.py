"""An OCI image layout with the types of the CNCF ModelPack specification; push it with `oras cp --from-oci-layout`."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from edgepack.deliver.linux.layout import installed_files
from edgepack.deliver.subject import Subject
from edgepack.records import canonical_json

ARTIFACT: Final = "application/vnd.cncf.model.manifest.v1+json"
CONFIG: Final = "application/vnd.cncf.model.config.v1+json"
WEIGHT: Final = "application/vnd.cncf.model.weight.v1.raw"
WEIGHT_CONFIG: Final = "application/vnd.cncf.model.weight.config.v1.raw"
DOCUMENT: Final = "application/vnd.cncf.model.doc.v1.raw"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
FILE_PATH: Final = "org.cncf.model.filepath"


def layout(subject: Subject) -> dict[str, bytes]:
    """Path → contents: oci-layout, index.json, blobs/sha256/….

    One layer a file, raw: a registry deduplicates them between versions, and a device reads the model unpacked.
    """
    blobs: dict[str, bytes] = {}
    layers = []
    for path, content in sorted(installed_files(subject).items()):
        name = path.rpartition("/")[2]
        layers.append({**_blob(blobs, content, _type(name)), "annotations": {FILE_PATH: name}})
    config: dict[str, Any] = {
        "descriptor": {"name": subject.name, "version": subject.version},
        "config": {
            "architecture": "cnn",
            "format": "tflite",
            "precision": str(subject.manifest.get("scheme")),
        },
        "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
    }
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ARTIFACT,
        "config": _blob(blobs, canonical_json(config), CONFIG),
        "layers": layers,
        "annotations": {
            "org.opencontainers.image.title": subject.name,
            "org.opencontainers.image.version": subject.version,
        },
    }
    entry = _blob(blobs, canonical_json(manifest), MANIFEST)
    tagged = {
        **entry,
        "artifactType": ARTIFACT,
        "annotations": {"org.opencontainers.image.ref.name": subject.version},
    }
    index: dict[str, Any] = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [tagged]}
    return {
        "oci-layout": canonical_json({"imageLayoutVersion": "1.0.0"}),
        "index.json": canonical_json(index),
        **{f"blobs/sha256/{digest}": content for digest, content in blobs.items()},
    }


def _blob(blobs: dict[str, bytes], content: bytes, media_type: str) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    blobs[digest] = content
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _type(name: str) -> str:
    if name == "model.tflite":
        return WEIGHT
    return WEIGHT_CONFIG if name.endswith((".json", ".edgepack", ".sig")) else DOCUMENT
