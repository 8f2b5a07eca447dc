"""`--to android`: assets for an app, an AI pack for Play, an AAR, and a Kotlin loader that checks before it answers."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping

from edgepack import errors
from edgepack.deliver import contract, templates
from edgepack.deliver.options import Options
from edgepack.deliver.subject import Subject, type_stem
from edgepack.deliver.tree import Tree

JAVA_PACKAGE = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
TARGETING = (
    '<config:device-targeting-config\n    xmlns:config="http://schemas.android.com/apk/config">\n\n'
    "</config:device-targeting-config>"
)
"""No device groups: one model for all, in the group "other"."""


def tree(subject: Subject, options: Options) -> Tree:
    """Everything an Android project takes in.

    Raises:
      BadInputError: the namespace is no Java package.
    """
    if JAVA_PACKAGE.fullmatch(options.namespace) is None:
        raise errors.BadInputError(
            f"--namespace {options.namespace!r}: expected a Java package such as com.example.models"
        )
    stem = subject.identifier
    model = contract.described_model(subject)
    files = assets(subject, model)
    values = {
        "stem": stem,
        "Type": type_stem(subject.name),
        "name": subject.name,
        "version": subject.version,
        "namespace": options.namespace,
        "sha256": hashlib.sha256(model).hexdigest(),
        "contract_sha256": hashlib.sha256(files[f"{stem}.json"]).hexdigest(),
    }
    source = templates.filled("edgepack.deliver.android", "Loader.kt", values)
    folder = options.namespace.replace(".", "/")
    return {
        **{f"app/src/main/assets/{name}": content for name, content in files.items()},
        f"app/src/main/kotlin/{folder}/{values['Type']}Model.kt": source,
        "app/build.gradle.kts.snippet": templates.filled(
            "edgepack.deliver.android", "build.gradle.kts", values
        ),
        "aipack/device_targeting_configuration.xml": TARGETING.encode(),
        f"aipack/{stem}/build.gradle": templates.filled("edgepack.deliver.android", "aipack.gradle", values),
        **{
            f"aipack/{stem}/src/main/assets/model#group_other/{name}": content
            for name, content in files.items()
        },
        f"{stem}-{subject.version}.aar": aar(options.namespace, files),
        "README.md": templates.filled("edgepack.deliver.android", "README.md", values),
    }


def assets(subject: Subject, model: bytes) -> Mapping[str, bytes]:
    """The model and what its loader reads beside it."""
    stem = subject.identifier
    found = {
        f"{stem}.tflite": model,
        f"{stem}.json": contract.contract(
            subject, model, model_file=f"{stem}.tflite", golden_file=f"{stem}_golden.bin"
        ),
        f"{stem}_golden.bin": contract.golden_bytes(subject),
    }
    if subject.labels:
        found[f"{stem}_{contract.LABELS}"] = ("\n".join(subject.labels) + "\n").encode()
    return found


def aar(namespace: str, files: Mapping[str, bytes]) -> bytes:
    """An Android library without code: manifest, empty classes.jar, R.txt, assets; all stored, none compressed."""
    manifest = (
        '<manifest xmlns:android="http://schemas.android.com/apk/res/android" '
        f'package="{namespace}">\n  <uses-sdk android:minSdkVersion="21" />\n</manifest>\n'
    )
    members = {
        "AndroidManifest.xml": manifest.encode(),
        "R.txt": b"",
        "classes.jar": _zipped({"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\r\n\r\n"}),
        **{f"assets/{name}": content for name, content in files.items()},
    }
    return _zipped(members)


def _zipped(members: Mapping[str, bytes]) -> bytes:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, members[name])
    return whole.getvalue()
