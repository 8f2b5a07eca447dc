"""The real models: read and rebuilt, they answer as they did in the Keras that wrote them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

KERAS2 = [
    "har_conv1d_st/model.h5",
    "ic_resnet8/pretrainedResnet.h5",
    "ic_resnet8/resnet8_jpg.h5",
    "kws_dscnn/dscnn.h5",
    "mhc_lstm_masking/HLA-A03_01_full.h5",
    "thai_deepcut_2input/deepcut_full.h5",
]
KERAS3 = ["mnist_cnn_keras3/mnist_model.h5", "mnist_cnn_keras3/mnist_model.keras"]
BY_KERAS3 = """
import sys, numpy, keras
x = numpy.load(sys.argv[1])
for number, path in enumerate(sys.argv[2:]):
    numpy.save(sys.argv[1] + f".{number}.npy", keras.models.load_model(path, compile=False).predict(x, verbose=0))
"""


def draw(model: Any) -> list[np.ndarray]:
    random = np.random.default_rng(7)
    drawn = [random.uniform(0, 8, (16, *tensor.shape[1:])).astype("float32") for tensor in model.inputs]
    if model.input_names == ["masking_input"]:
        drawn[0][:, 9:] = -4200000.0
    return drawn


def assert_close(found: Any, wanted: Any) -> None:
    a, b = np.asarray(wanted, np.float64), np.asarray(found, np.float64)
    assert a.shape == b.shape
    assert np.max(np.abs(a - b)) <= 1e-5 * np.max(np.abs(a))


@pytest.mark.parametrize("name", KERAS2)
def test_keras2_files(shared_models: Path, tmp_path: Path, name: str) -> None:
    import tf_keras

    from edgepack.backend import rebuild

    original = tmp_path / "original.h5"
    shutil.copy(shared_models / name, original)
    with h5py.File(original, "a") as file:  # written by tf_keras 2.21, which 2.19 otherwise cannot read
        file.attrs["model_config"] = file.attrs["model_config"].replace(', "optional": false', "")
    model = rebuild.load(shared_models / name)
    inputs = draw(model)
    assert_close(model(inputs), tf_keras.models.load_model(original, compile=False)(inputs))


def test_keras3_files(shared_models: Path, tmp_path: Path) -> None:
    from edgepack.backend import rebuild

    inputs = tmp_path / "x.npy"
    np.save(inputs, np.random.default_rng(7).uniform(0, 1, (16, 28, 28, 1)).astype("float32"))
    paths = [shared_models / name for name in KERAS3]
    environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
    subprocess.run(
        [sys.executable, "-c", BY_KERAS3, inputs, *paths],
        check=True,
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    for number, path in enumerate(paths):
        assert_close(rebuild.load(path)(np.load(inputs)), np.load(f"{inputs}.{number}.npy"))


def test_saved_model_becomes_a_candidate(shared_models: Path, tmp_path: Path) -> None:
    from edgepack.backend import rebuild
    from edgepack.backend.importing import import_model
    from edgepack.backend.saved_model import Served

    folder = shared_models / "kws_dscnn" / "kws_ref_model"
    target = tmp_path / "candidate.h5"
    result = import_model(
        source=str(folder), target=str(target), trust_input=True, report=lambda text, part: None
    )
    assert result["kind"] == "candidate"
    model = rebuild.load(target)
    served = Served(folder)
    assert [spec.name for spec in served.inputs] == model.input_names
    inputs = draw(model)
    found = served.run(inputs)
    assert_close(model(inputs), found[model.output_names[0]])
