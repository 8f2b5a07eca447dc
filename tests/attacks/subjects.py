"""Sound files of every kind that edgepack reads, small and made in code, to be damaged."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from edgepack.delta import make_delta
from tests.attacks.signed import package_bytes
from tests.gate.conftest import SMALL, SMALL_ARRAYS, dense, input_entry, sequential, weights_bytes
from tests.tflite.handmade_network import Network
from tests.tflite.handmade_tflite import dense as dense_tflite

ROOT = Path(__file__).resolve().parents[2]


def small_weights() -> bytes:
    """The HDF5 member of a .keras."""
    return weights_bytes(SMALL_ARRAYS)


def keras_bytes(config: Any = SMALL, weights: bytes | None = None, *, version: str = "3.5.0") -> bytes:
    """A .keras archive; `weights` are the bytes of its HDF5 member."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in (
            ("metadata.json", json.dumps({"keras_version": version}).encode()),
            ("config.json", json.dumps(config).encode()),
            ("model.weights.h5", small_weights() if weights is None else weights),
        ):
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def h5_bytes(*, packed: bool = False) -> bytes:
    """A model as Keras 2 saved it; `packed` compresses its weights, so that damage meets the filters too."""
    config = sequential(input_entry(), dense("hidden", 3), dense("answer", 2))
    groups = {
        "hidden": {"kernel:0": np.arange(12, dtype="f4").reshape(4, 3), "bias:0": np.ones(3, "f4")},
        "answer": {"kernel:0": np.arange(6, dtype="f4").reshape(3, 2), "bias:0": np.zeros(2, "f4")},
    }
    options: Mapping[str, Any] = (
        {"chunks": True, "compression": "gzip", "shuffle": True, "fletcher32": True} if packed else {}
    )
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), b"2.9.0"
        file.attrs["backend"] = "tensorflow"
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [name.encode() for name in groups]
        for name, arrays in groups.items():
            group = weights.create_group(name)
            group.attrs["weight_names"] = [key.encode() for key in arrays]
            for key, array in arrays.items():
                group.create_dataset(key, data=array, **options)
    return buffer.getvalue()


def stored_npz(**arrays: Any) -> bytes:
    """A .npz whose members are not compressed, so that damage meets their headers."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def tflite_bytes() -> list[bytes]:
    """Two models of the converter's kind: one dense op, and a small network."""
    net = Network((1, 8, 8, 3))
    x = net.conv(net.input, 4, dead=(1,), bias=-0.8)
    x = net.add(net.depthwise(x), net.conv(x, 4, size=1))
    network = net.to_bytes(net.softmax(net.dense(net.mean(x), 3)))
    return [dense_tflite(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)), network]


def package_pair() -> list[bytes]:
    """Two packages of one lineage."""
    return [package_bytes(), package_bytes(version="1.0.1", model=b"other" * 299)]


def delta_ends() -> list[tuple[bytes, bytes, str]]:
    """(old, new, method): for each way of saying a difference, two files that it suits."""
    random = np.random.default_rng(0)
    old = random.integers(0, 256, 4000, np.uint8).tobytes()
    near = old[:1500] + b"changed" + old[1507:]
    moved = old[2000:] + b"between" + old[:1500]
    return [(old, near, "subtract"), (old, moved, "bsdiff"), (old, moved, "zstd"), (old, near[::-1], "full")]


def deltas() -> list[tuple[bytes, bytes, bytes]]:
    """(old, new, delta) of each method, and of two packages."""
    made = [
        (old, new, make_delta(old, new, methods=(method,)).to_bytes()) for old, new, method in delta_ends()
    ]
    before, after = package_pair()
    return [*made, (before, after, make_delta(before, after).to_bytes())]


def recipe_texts() -> list[bytes]:
    """The recipes that come with edgepack."""
    return [path.read_bytes() for path in sorted((ROOT / "recipes").glob("*.toml"))]
