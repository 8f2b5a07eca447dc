"""Hand-made model files: tiny .keras and .h5 without any Keras, and a folder of real ones written by both Keras."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

Write = Callable[..., Path]


def layer(
    class_name: str, name: str, *, module: str | None = "keras.layers", **config: Any
) -> dict[str, Any]:
    """One layer's entry of a config."""
    return {
        "class_name": class_name,
        "module": module,
        "registered_name": None,
        "config": {"name": name, **config},
    }


def sequential(*entries: dict[str, Any], name: str = "model") -> dict[str, Any]:
    """A Sequential's entry."""
    return {"class_name": "Sequential", "module": "keras", "config": {"name": name, "layers": list(entries)}}


def input_entry(name: str = "x", shape: tuple[int | None, ...] = (None, 4)) -> dict[str, Any]:
    """A Keras 3 InputLayer's entry."""
    return layer("InputLayer", name, batch_shape=list(shape), dtype="float32", sparse=False)


def dense(name: str, units: int = 2, **config: Any) -> dict[str, Any]:
    """A Dense layer's entry."""
    return layer("Dense", name, units=units, activation="linear", use_bias=True, **config)


def weights_bytes(arrays: Mapping[str, Any]) -> bytes:
    """An HDF5 file in memory with these datasets."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for path, array in arrays.items():
            file[path] = array
    return buffer.getvalue()


SMALL = sequential(input_entry(), dense("hidden", 3), dense("answer", 2))
SMALL_ARRAYS = {
    "layers/dense/vars/0": np.arange(12, dtype="float32").reshape(4, 3),
    "layers/dense/vars/1": np.ones(3, "float32"),
    "layers/dense_1/vars/0": np.arange(6, dtype="float32").reshape(3, 2),
    "layers/dense_1/vars/1": np.zeros(2, "float32"),
}


@pytest.fixture(scope="session")
def entries() -> SimpleNamespace:
    """The builders above, for the test modules."""
    return SimpleNamespace(
        layer=layer, sequential=sequential, input=input_entry, dense=dense, weights_bytes=weights_bytes,
        small=SMALL, small_arrays=SMALL_ARRAYS,
    )  # fmt: skip


@pytest.fixture
def write_keras(tmp_path: Path) -> Write:
    """write_keras(config, arrays, version="3.5.0", name="model.keras") → path."""

    def write(
        config: Any = SMALL,
        arrays: Mapping[str, Any] = SMALL_ARRAYS,
        *,
        version: str = "3.5.0",
        name: str = "model.keras",
        extra: Mapping[str, bytes] = {},
    ) -> Path:
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("metadata.json", json.dumps({"keras_version": version}))
            archive.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
            archive.writestr("model.weights.h5", weights_bytes(arrays))
            for member, content in extra.items():
                archive.writestr(member, content)
        return path

    return write


@pytest.fixture
def write_h5(tmp_path: Path) -> Write:
    """write_h5(config, {layer: {weight name: array}}, version="2.9.0", edit=function of the open file) → path."""

    def write(
        config: Any,
        groups: Mapping[str, Mapping[str, Any]],
        *,
        version: str | None = "2.9.0",
        name: str = "model.h5",
        edit: Callable[[h5py.File], None] = lambda file: None,
    ) -> Path:
        path = tmp_path / name
        with h5py.File(path, "w") as file:
            if config is not None:
                file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
            if version is not None:
                file.attrs["keras_version"] = version.encode()  # Keras 2 wrote bytes
            weights = file.create_group("model_weights")
            weights.attrs["layer_names"] = [key.encode() for key in groups]
            for layer_name, arrays in groups.items():
                group = weights.create_group(layer_name)
                group.attrs["weight_names"] = [key.encode() for key in arrays]
                for key, array in arrays.items():
                    group[key] = array
            edit(file)
        return path

    return write


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of models written by Keras 3 and by tf_keras, with inputs and what the original answers."""
    program = Path(__file__).with_name("write_models.py")
    folders, writers = {}, []
    for generation in ("keras3", "keras2"):
        folders[generation] = tmp_path_factory.mktemp(generation)
        environment = {key: value for key, value in os.environ.items() if key != "TF_USE_LEGACY_KERAS"}
        if generation == "keras2":
            environment["TF_USE_LEGACY_KERAS"] = "1"
        command = [sys.executable, str(program), str(folders[generation])]
        writers.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        )
    for writer in writers:
        output, _ = writer.communicate(timeout=300)
        assert writer.returncode == 0, output.decode(errors="replace")[-2000:]
    return folders
