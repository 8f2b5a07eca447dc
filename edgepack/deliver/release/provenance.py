"""SLSA v1 provenance as an in-toto Statement, claiming what edgepack knows and no more.

Build level 1: it exists and says how the package was made. It is not signed here, and names no hosted builder: a release
workflow that runs edgepack adds both (levels 2 and 3), for example by attesting this very file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from edgepack.deliver.subject import Subject

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:edgepack:build:1"
BUILDER: Final = "urn:edgepack:cli"


def document(subject: Subject, digests: Mapping[str, str]) -> bytes:
    """The statement as JSON text: no times, nothing of the machine.

    Args:
      digests: SHA-256 of the files that it speaks for.
    """
    manifest = subject.manifest
    versions = manifest.get("versions") or {}
    recipe = subject.package.recipe_text
    resolved = [{"name": "recipe.toml", "digest": {"sha256": hashlib.sha256(recipe.encode()).hexdigest()}}]
    digest = (manifest.get("sources") or {}).get("model_sha256")
    if digest:
        resolved.append({"name": "trained model", "digest": {"sha256": digest}})
    statement: dict[str, Any] = {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": sha}} for name, sha in sorted(digests.items())],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "recipe": recipe,
                    "device": (manifest.get("device") or {}).get("name"),
                },
                "internalParameters": {"versions": versions},
                "resolvedDependencies": resolved,
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"edgepack": str(versions.get("edgepack"))}}
            },
        },
    }
    return json.dumps(statement, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
