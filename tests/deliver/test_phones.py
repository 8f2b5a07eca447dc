"""What app projects take in: layouts, contract, loaders. No SDK is here, so loaders are read, not run."""

from __future__ import annotations

import hashlib
import io
import json
import re
import xml.etree.ElementTree
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors, tflite
from edgepack.deliver import android, deliver, ios
from edgepack.deliver.options import Options
from edgepack.deliver.subject import Subject
from edgepack.deliver.tree import Tree

ASSETS = "app/src/main/assets/"
RESOURCES = "TinyModel/Sources/TinyModel/Resources/"


def content(tree: Tree, name: str) -> bytes:
    found = tree[name]
    assert isinstance(found, bytes)
    return found


@pytest.fixture(params=["android", "ios"])
def delivered(request: pytest.FixtureRequest, subject: Subject) -> tuple[Tree, str, str]:
    """Tree, folder of the model, source of the loader."""
    if request.param == "android":
        return (
            android.tree(subject, Options()),
            ASSETS,
            "app/src/main/kotlin/com/example/models/TinyModel.kt",
        )
    return (
        ios.tree(subject, Options()),
        RESOURCES,
        "TinyModel/Sources/TinyModel/TinyModel.swift",
    )


def test_the_loader_knows_the_digests_of_what_it_loads(delivered: tuple[Tree, str, str]) -> None:
    tree, folder, source = delivered
    text = content(tree, source).decode()
    for name in ("tiny_model.tflite", "tiny_model.json"):
        assert hashlib.sha256(content(tree, folder + name)).hexdigest() in text
    assert re.findall(r"\$(?:stem|version|Type|sha256)\b", text) == []


def test_the_loader_is_well_nested(delivered: tuple[Tree, str, str]) -> None:
    tree, _, source = delivered
    text = re.sub(
        r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"', "", content(tree, source).decode(), flags=re.DOTALL
    )
    stack = []
    for letter in text:
        if letter in "([{":
            stack.append(letter)
        elif letter in ")]}":
            assert stack.pop() + letter in ("()", "[]", "{}")
    assert stack == []


def test_what_a_loader_does_by_the_contract_holds(delivered: tuple[Tree, str, str]) -> None:
    """The loaders' three checks in Python, from the delivered files alone."""
    from ai_edge_litert.interpreter import Interpreter

    tree, folder, _ = delivered
    told = json.loads(content(tree, folder + "tiny_model.json"))
    model, vectors = (
        content(tree, folder + told["model"]["file"]),
        content(tree, folder + told["golden"]["file"]),
    )
    assert hashlib.sha256(model).hexdigest() == told["model"]["sha256"]
    assert hashlib.sha256(vectors).hexdigest() == told["golden"]["sha256"]
    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    (x,), (y,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert [list(x["shape"]), np.dtype(x["dtype"]).name] == [
        told["inputs"][0]["shape"],
        told["inputs"][0]["dtype"],
    ]
    arrays = {each["role"]: each for each in told["golden"]["tensors"]}
    tolerance = told["golden"]["checks"][0]["tolerance"]
    count = arrays["input"]["shape"][0]

    def vector(role: str, number: int) -> np.ndarray:
        size = arrays[role]["bytes"] // count
        start = arrays[role]["offset"] + number * size
        return np.frombuffer(vectors[start : start + size], arrays[role]["dtype"])

    for number in range(count):
        interpreter.set_tensor(x["index"], vector("input", number).reshape(x["shape"]))
        interpreter.invoke()
        found = interpreter.get_tensor(y["index"]).reshape(-1).astype(int)
        assert np.abs(found - vector("output", number).astype(int)).max() <= tolerance


def test_metadata_and_labels_are_inside(delivered: tuple[Tree, str, str], tmp_path: Path) -> None:
    tree, folder, _ = delivered
    (tmp_path / "m.tflite").write_bytes(content(tree, folder + "tiny_model.tflite"))
    assert "TFLITE_METADATA" in tflite.read(tmp_path / "m.tflite").metadata
    with zipfile.ZipFile(tmp_path / "m.tflite") as archive:
        assert archive.read("labels.txt").decode() == "größer\nkleiner\n"


def test_the_ai_pack_is_laid_out_as_by_the_exporter_of_litert(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_lib = pytest.importorskip("ai_edge_litert.aot.ai_pack.export_lib")
    from ai_edge_litert.aot.core import aot_types
    from ai_edge_litert.aot.vendors import fallback_backend

    deliver(subject, "android", Options(), tmp_path / "ours")
    model = aot_types.Model.create_from_bytes(b"model")
    backend = object.__new__(fallback_backend.FallbackBackend)
    result = aot_types.CompilationResult(models_with_backend=[(backend, model)])
    export_lib.export(result, tmp_path / "theirs", "tiny_model", "tiny_model")
    theirs = {
        str(path.relative_to(tmp_path / "theirs"))
        for path in (tmp_path / "theirs").rglob("*")
        if path.is_file()
    }
    ours = {
        str(path.relative_to(tmp_path / "ours/aipack"))
        for path in (tmp_path / "ours/aipack").rglob("*")
        if path.is_file()
    }
    assert theirs <= ours
    assert "tiny_model/src/main/assets/model#group_other/tiny_model.tflite" in theirs
    text = (tmp_path / "ours/aipack/device_targeting_configuration.xml").read_text()
    assert text.split() == (tmp_path / "theirs/device_targeting_configuration.xml").read_text().split()


def test_the_aar_is_a_library_with_the_model_stored(subject: Subject) -> None:
    data = content(android.tree(subject, Options()), "tiny_model-1.2.3.aar")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert {"AndroidManifest.xml", "classes.jar", "R.txt", "assets/tiny_model.tflite"} <= set(
            archive.namelist()
        )
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        manifest = xml.etree.ElementTree.fromstring(archive.read("AndroidManifest.xml"))
        assert manifest.attrib["package"] == "com.example.models"
        with zipfile.ZipFile(io.BytesIO(archive.read("classes.jar"))) as classes:
            assert classes.namelist() == ["META-INF/MANIFEST.MF"]


@pytest.mark.parametrize("namespace", ["Models", "com.example;rm", "com.example\nfun x", "com"])
def test_a_namespace_is_a_java_package(subject: Subject, namespace: str) -> None:
    with pytest.raises(errors.BadInputError, match="Java package"):
        android.tree(subject, Options(namespace=namespace))


def test_the_asset_pack_names_files_that_are_there(subject: Subject) -> None:
    tree = ios.tree(subject, Options())
    manifest: Mapping[str, Any] = json.loads(content(tree, "BackgroundAssets/Manifest.json"))
    assert manifest["assetPackID"] == "tiny-model-model"
    for selector in manifest["fileSelectors"]:
        assert f"BackgroundAssets/{selector['file']}" in tree


@pytest.mark.parametrize("receiver", ["android", "ios"])
def test_twice_the_same_bytes(subject: Subject, receiver: str) -> None:
    make = {"android": android.tree, "ios": ios.tree}[receiver]
    assert make(subject, Options()) == make(subject, Options())
