"""`--to ios`: a Swift package with the model as its resource, a loader that checks, and a manifest for Background Assets."""

from __future__ import annotations

import hashlib
import json

from edgepack.deliver import contract, templates
from edgepack.deliver.android import assets
from edgepack.deliver.options import Options
from edgepack.deliver.subject import Subject, type_stem
from edgepack.deliver.tree import Tree

ASSET_PLATFORMS = ("iOS", "macOS", "tvOS", "visionOS")


def tree(subject: Subject, options: Options) -> Tree:
    """Everything an Xcode project takes in."""
    stem, kind = subject.identifier, type_stem(subject.name)
    model = contract.described_model(subject)
    files = assets(subject, model)
    values = {
        "stem": stem,
        "Type": kind,
        "name": subject.name,
        "version": subject.version,
        "sha256": hashlib.sha256(model).hexdigest(),
        "contract_sha256": hashlib.sha256(files[f"{stem}.json"]).hexdigest(),
    }

    def made(template: str) -> bytes:
        return templates.filled("edgepack.deliver.ios", template, values)

    return {
        f"{kind}Model/Package.swift": made("Package.swift"),
        f"{kind}Model/Sources/{kind}Model/{kind}Model.swift": made("Loader.swift"),
        **{f"{kind}Model/Sources/{kind}Model/Resources/{name}": content for name, content in files.items()},
        "BackgroundAssets/Manifest.json": asset_pack(subject, tuple(files)),
        **{f"BackgroundAssets/{stem}/{name}": content for name, content in files.items()},
        "README.md": made("README.md"),
    }


def asset_pack(subject: Subject, files: tuple[str, ...]) -> bytes:
    """The manifest that `xcrun ba-package` takes: fetched with the app and with each update of it."""
    manifest = {
        "assetPackID": f"{subject.identifier.replace('_', '-')}-model",
        "downloadPolicy": {
            "essential": {"installationEventTypes": ["firstInstallation", "subsequentUpdate"]}
        },
        "fileSelectors": [{"file": f"{subject.identifier}/{name}"} for name in sorted(files)],
        "platforms": list(ASSET_PLATFORMS),
    }
    return json.dumps(manifest, indent=2, sort_keys=True).encode() + b"\n"
