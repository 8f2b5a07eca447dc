"""The input contract in the form that loaders on phones check: one JSON beside the model, golden vectors in one file."""

from __future__ import annotations

import hashlib
from typing import Any

from edgepack.deliver.subject import Subject
from edgepack.records import Json, canonical_json
from edgepack.tflite.metadata import TensorMetadata, with_metadata

FORMAT = "edgepack.contract/1"
LABELS = "labels.txt"


def described_model(subject: Subject) -> bytes:
    """The model with TFLite Metadata: tensors, normalization, labels."""
    files = {LABELS: ("\n".join(subject.labels) + "\n").encode()} if subject.labels else {}
    labelled = _labelled_output(subject)
    return with_metadata(
        subject.model,
        name=subject.name,
        version=subject.version,
        description=f"{subject.name} {subject.version}",
        inputs=[_input(tensor) for tensor in subject.inputs],
        outputs=[
            TensorMetadata(name=tensor["name"], labels_file=LABELS if tensor["name"] == labelled else None)
            for tensor in subject.outputs
        ],
        files=files,
    )


def _labelled_output(subject: Subject) -> str | None:
    """The output whose last axis has as many places as there are labels."""
    fitting = [tensor["name"] for tensor in subject.outputs if tensor["shape"][-1:] == [len(subject.labels)]]
    return str(fitting[0]) if subject.labels and fitting else None


def _input(tensor: Any) -> TensorMetadata:
    shape, terms = tensor["shape"], tensor.get("preprocess") or {}
    scale, offset = _listed(terms.get("scale", 1.0)), _listed(terms.get("offset", 0.0))
    picture = len(shape) == 4 and shape[-1] in (1, 3) and not tensor.get("ids")
    # x * scale + offset is (x - mean) / std.
    return TensorMetadata(
        name=tensor["name"],
        image_channels=shape[-1] if picture else None,
        std=[1.0 / each for each in scale] if all(scale) else (),
        mean=[
            -first / each
            for first, each in zip(_stretched(offset, scale), _stretched(scale, offset), strict=True)
        ]
        if all(scale)
        else (),
    )


def _listed(value: Any) -> list[float]:
    return [float(each) for each in value] if isinstance(value, list | tuple) else [float(value)]


def _stretched(values: list[float], other: list[float]) -> list[float]:
    """One value for all channels, as often as the other has them."""
    return values * len(other) if len(values) == 1 else values


def contract(subject: Subject, model: bytes, *, model_file: str, golden_file: str) -> bytes:
    """What a loader holds against the file it was given.

    Args:
      model: as delivered: its digest is what the loader computes.
    """
    table, _ = subject.package.golden.encode()
    told: dict[str, Json] = {
        "format": FORMAT,
        "name": subject.name,
        "version": subject.version,
        "model": {"file": model_file, "sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)},
        "package_model_sha256": subject.sha256,
        "inputs": [dict(tensor) for tensor in subject.inputs],
        "outputs": [dict(tensor) for tensor in subject.outputs],
        "labels": list(subject.labels),
        "stateful": bool(subject.manifest.get("stateful")),
        "golden": {"file": golden_file, "sha256": hashlib.sha256(golden_bytes(subject)).hexdigest(), **table},
    }
    return canonical_json(told) + b"\n"


def golden_bytes(subject: Subject) -> bytes:
    """Golden vectors as they lie in the package."""
    _, body = subject.package.golden.encode()
    return body
