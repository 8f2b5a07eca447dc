"""A CycloneDX 1.6 ML-BOM: the model as a component with its model card, and what it was made from.

Serial number and timestamp are optional in the specification; the first is derived from the package's digest and the
second left out, so that the same package gives the same document.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

from edgepack.deliver.subject import Subject

TASKS: Final = {"mae": "regression", "mse": "regression"}
"""Metric → what the model does, where the metric tells; else "classification"."""
NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:edgepack:package")


def document(subject: Subject, digests: Mapping[str, str]) -> bytes:
    """The BOM as JSON text.

    Args:
      digests: SHA-256 of the files that are published.
    """
    package = f"{subject.name}-{subject.version}.edgepack"
    bom: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, digests[package])}",
        "version": 1,
        "metadata": {"component": _model(subject), "tools": {"components": _tools(subject)}},
        "components": [_source(subject)],
        "dependencies": [
            {"ref": _reference(subject), "dependsOn": ["source-model"]},
            {"ref": "source-model"},
        ],
    }
    return json.dumps(bom, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _reference(subject: Subject) -> str:
    return f"pkg:generic/{subject.name}@{subject.version}?checksum=sha256:{subject.sha256}"


def _model(subject: Subject) -> dict[str, Any]:
    manifest = subject.manifest
    return {
        "type": "machine-learning-model",
        "bom-ref": _reference(subject),
        "name": subject.name,
        "version": subject.version,
        "hashes": [{"alg": "SHA-256", "content": subject.sha256}],
        "modelCard": {
            "modelParameters": {
                "task": TASKS.get(_metric(subject).get("name", ""), "classification"),
                "architectureFamily": "neural network",
                "inputs": [{"format": f"{tensor['dtype']} {tensor['shape']}"} for tensor in subject.inputs],
                "outputs": [{"format": f"{tensor['dtype']} {tensor['shape']}"} for tensor in subject.outputs],
            },
            "quantitativeAnalysis": {"performanceMetrics": _performance(subject)},
        },
        "properties": [
            {"name": f"edgepack:{key}", "value": str(value)}
            for key, value in {"scheme": manifest.get("scheme"), **(manifest.get("sizes") or {})}.items()
        ],
    }


def _metric(subject: Subject) -> Mapping[str, Any]:
    return subject.manifest.get("metric") or {}


def _performance(subject: Subject) -> list[dict[str, Any]]:
    metric = _metric(subject)
    return [
        {"type": str(metric["name"]), "value": str(metric[kind]), "slice": text}
        for kind, text in (
            ("tflite", "evaluation data, this file"),
            ("float", "evaluation data, float model"),
        )
        if metric.get(kind) is not None
    ]


def _tools(subject: Subject) -> list[dict[str, Any]]:
    versions = subject.manifest.get("versions") or {}
    return [
        {"type": "application", "name": str(name), "version": str(version)}
        for name, version in sorted(versions.items())
        if version is not None
    ]


def _source(subject: Subject) -> dict[str, Any]:
    digest = (subject.manifest.get("sources") or {}).get("model_sha256")
    found: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": "source-model",
        "name": f"{subject.name} (trained model)",
    }
    return found | ({"hashes": [{"alg": "SHA-256", "content": digest}]} if digest else {})
