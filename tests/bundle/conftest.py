"""A small package, once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepack import bundle
from edgepack.records import Json, TensorSpec
from tests import handmade

MANIFEST: dict[str, Json] = {"name": "tiny", "version": "1.0.0", "labels": ["größer", "kleiner"]}
RECIPE = 'edgepack = 1\nname = "tiny"\n'
INPUTS = (
    TensorSpec(name="a", shape=(None, 3), dtype="float32"),
    TensorSpec(name="b", shape=(None, 3), dtype="float32"),
)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return handmade.difference(tmp_path_factory.mktemp("model") / "model.tflite")


@pytest.fixture(scope="session")
def golden(model: Path) -> bundle.Golden:
    return bundle.make_golden(model, INPUTS)


@pytest.fixture(scope="session")
def packed(model: Path, golden: bundle.Golden, tmp_path_factory: pytest.TempPathFactory) -> bundle.Package:
    target = tmp_path_factory.mktemp("package") / "tiny-1.0.0.edgepack"
    return bundle.pack(target, model=model, manifest=MANIFEST, golden=golden, recipe_text=RECIPE)
