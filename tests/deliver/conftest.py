"""A small int8 package, and its subject."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepack import bundle
from edgepack.deliver.options import Options
from edgepack.deliver.subject import Subject
from edgepack.records import TensorSpec
from tests.tflite.handmade_tflite import Handmade

SCALE = 0.0625


@pytest.fixture(scope="session")
def package_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sigmoid over 12 numbers, with what a build writes into its manifest."""
    folder = tmp_path_factory.mktemp("package")
    graph = Handmade()
    x = graph.tensor("serving_x", (1, 12), scale=SCALE, zero_point=[3])
    y = graph.tensor("scores", (1, 12), scale=1 / 256, zero_point=[-128])
    graph.op("LOGISTIC", [x], [y])
    model = folder / "model.tflite"
    model.write_bytes(graph.to_bytes([x], [y]))
    inputs = (TensorSpec(name="serving_x", shape=(1, 12), dtype="int8", scale=SCALE, zero_point=3),)
    preprocess = {"scale": 1 / 255, "offset": 0.0}
    manifest = {
        "name": "tiny-model",
        "version": "1.2.3",
        "device": None,
        "labels": ["größer", "kleiner"],
        "scheme": "int8",
        "inputs": [
            {
                "name": "serving_x", "shape": [1, 12], "dtype": "int8", "scale": SCALE, "zero_point": 3, "ids": False,
                "preprocess": preprocess,
            }
        ],
        "outputs": [{"name": "scores", "shape": [1, 12], "dtype": "int8", "scale": 1 / 256, "zero_point": -128}],
        "metric": {"name": "top1", "float": 0.95, "tflite": 0.94, "drop": 0.01, "interval": [0.0, 0.02]},
        "sizes": {"file_bytes": 500, "delivered_bytes": 300, "flash_bytes": 500},
        "sources": {"model_sha256": "0" * 64},
        "versions": {"edgepack": "0.1.0"},
    }  # fmt: skip
    target = folder / "tiny-model-1.2.3.edgepack"
    golden = bundle.make_golden(model, inputs)
    bundle.pack(target, model=model, manifest=manifest, golden=golden, recipe_text="edgepack = 1\n")
    return target


@pytest.fixture(scope="session")
def subject(package_file: Path) -> Subject:
    return Subject.of(bundle.admit(package_file, allow_unsigned=True))


@pytest.fixture
def options() -> Options:
    return Options()
