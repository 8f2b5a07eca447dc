"""Hand-made files of every form that Keras has written, read into the same graph."""

from __future__ import annotations

import json
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from edgepack import errors, gate
from edgepack.records import TensorSpec


def test_small_keras_archive(write_keras: Any, entries: SimpleNamespace) -> None:
    graph = gate.read(write_keras())
    assert graph.generation == "keras3"
    assert list(graph.layers) == ["x", "hidden", "answer"]
    assert graph.specs == (TensorSpec(name="x", shape=(None, 4), dtype="float32"),)
    assert graph.outputs == (("answer", gate.Ref(2, 0)),)
    assert [call.args for call in graph.calls] == [(), (gate.Ref(0, 0),), (gate.Ref(1, 0),)]
    for name, folder in (("hidden", "dense"), ("answer", "dense_1")):
        assert np.array_equal(graph.layers[name].weights[0], entries.small_arrays[f"layers/{folder}/vars/0"])


def test_weights_are_left_alone_when_not_asked_for(write_keras: Any) -> None:
    path = write_keras()
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, b"no HDF5 at all" if name == "model.weights.h5" else content)
    assert gate.read(path, with_weights=False).layers["hidden"].weights == ()
    with pytest.raises(errors.ModelError, match=r"model\.weights\.h5"):
        gate.read(path)


def test_unzipped_archive(write_keras: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(write_keras()) as archive:
        archive.extractall(tmp_path / "folder.keras")
    assert len(gate.read(tmp_path / "folder.keras").layers["answer"].weights) == 2


def test_early_archive_with_windows_paths(write_keras: Any, entries: SimpleNamespace) -> None:
    arrays = {
        path.replace("layers/", "_layer_checkpoint_dependencies/").replace("/", "\\"): array
        for path, array in entries.small_arrays.items()
    }
    graph = gate.read(write_keras(entries.small, arrays, version="2.12.0"))
    assert graph.generation == "keras2"
    assert graph.layers["answer"].weights[0].shape == (3, 2)


def test_sequential_as_a_plain_list_and_input_from_its_first_layer(
    write_h5: Any, entries: SimpleNamespace
) -> None:
    first = entries.layer("Dense", "first", module=None, units=2, batch_input_shape=[None, 3], use_bias=False)
    config = {"class_name": "Sequential", "config": [first]}
    graph = gate.read(write_h5(config, {"first": {"kernel:0": np.ones((3, 2), "f4")}}, version="2.1.6"))
    assert graph.specs == (TensorSpec(name="first_input", shape=(None, 3), dtype="float32"),)


def test_config_and_names_split_into_chunks(write_h5: Any, entries: SimpleNamespace) -> None:
    config = json.dumps(entries.sequential(entries.input(), entries.dense("hidden", 3)))

    def split(file: h5py.File) -> None:
        del file.attrs["model_config"]
        file.attrs["model_config0"], file.attrs["model_config1"] = config[:50], config[50:]
        group = file["model_weights/hidden"]
        del group.attrs["weight_names"]
        group.attrs["weight_names0"], group.attrs["weight_names1"] = [b"kernel:0"], [b"bias:0"]

    arrays = {"kernel:0": np.ones((4, 3), "f4"), "bias:0": np.ones(3, "f4")}
    assert len(gate.read(write_h5(config, {"hidden": arrays}, edit=split)).layers["hidden"].weights) == 2


def test_half_precision_weights_become_float32(write_h5: Any, entries: SimpleNamespace) -> None:
    arrays = {"kernel:0": np.full((4, 3), 0.5, "f2"), "bias:0": np.ones(3, "f8")}
    graph = gate.read(
        write_h5(entries.sequential(entries.input(), entries.dense("hidden", 3)), {"hidden": arrays})
    )
    assert [weight.dtype for weight in graph.layers["hidden"].weights] == [np.float32, np.float32]


def test_bfloat16_weights(write_keras: Any, entries: SimpleNamespace) -> None:
    arrays = dict(entries.small_arrays)
    values = np.array([1.0, -2.5, 0.15625], "f4")
    arrays["layers/dense/vars/1"] = (values.view("u4") >> 16).astype("u2").view("V2")
    assert np.array_equal(gate.read(write_keras(entries.small, arrays)).layers["hidden"].weights[1], values)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda arrays: arrays.pop("layers/dense/vars/1"), "'hidden' .* has 1 weights in the file, expected 2"),
        (lambda arrays: arrays.__setitem__("layers/dense/vars/1", np.full(3, np.nan, "f4")), "'hidden' has weights .* NaN"),
        (lambda arrays: arrays.__setitem__("layers/dense/vars/1", np.array([b"a", b"b"])), "has 1 weights in the file"),
    ],
)  # fmt: skip
def test_bad_weights(write_keras: Any, entries: SimpleNamespace, damage: Any, words: str) -> None:
    arrays = dict(entries.small_arrays)
    damage(arrays)
    with pytest.raises(errors.ModelError, match=words):
        gate.read(write_keras(entries.small, arrays))


def test_weights_only_file_says_what_is_missing(write_h5: Any) -> None:
    path = write_h5(None, {"conv": {"kernel:0": np.ones(3, "f4")}, "head": {}})
    with pytest.raises(
        errors.ModelError, match=r"weights only \(layers conv, head\).*model_config.*load_weights"
    ):
        gate.read(path)


def test_hdf5_that_is_no_model(write_h5: Any, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["x"] = np.ones(3)
    with pytest.raises(errors.ModelError, match="without a Keras model"):
        gate.read(tmp_path / "data.h5")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sparse": True}, "is sparse"),
        ({"ragged": True}, "is ragged"),
        ({"dtype": "string"}, "has type 'string'"),
        ({"batch_shape": None}, "never built"),
        ({"batch_shape": [None, -4]}, "never built"),
    ],
)
def test_inputs_that_tflite_does_not_take(
    write_keras: Any, entries: SimpleNamespace, change: Any, words: str
) -> None:
    entry = entries.input()
    entry["config"].update(change)
    with pytest.raises(errors.ModelError, match=words):
        gate.read(write_keras(entries.sequential(entry, entries.dense("hidden", 3)), {}))


def test_fixed_batch_and_mixed_precision_are_normalised(write_keras: Any, entries: SimpleNamespace) -> None:
    entry = entries.input(shape=(1, 4))
    entry["config"]["dtype"] = {"class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    graph = gate.read(
        write_keras(entries.sequential(entry, entries.dense("hidden", 3), entries.dense("answer")))
    )
    assert graph.specs == (TensorSpec(name="x", shape=(None, 4), dtype="float32"),)


def test_training_only_layers_are_dropped_with_their_reason(
    write_keras: Any, entries: SimpleNamespace
) -> None:
    flip = entries.layer("RandomFlip", "flip", mode="horizontal")
    graph = gate.read(
        write_keras(
            entries.sequential(entries.input(), flip, entries.dense("hidden", 3), entries.dense("answer"))
        )
    )
    assert [name for name, _ in graph.dropped] == ["flip"] and graph.dropped[0][1]
    assert graph.calls[1].args == (gate.Ref(0, 0),)


def test_names_that_tensorflow_cannot_take(write_keras: Any, entries: SimpleNamespace) -> None:
    config = entries.sequential(entries.input("my x"), entries.dense("a/b", 3), entries.dense("a b", 2))
    assert list(gate.read(write_keras(config)).layers) == ["my_x", "a_b", "a_b_1"]


@pytest.mark.slow  # not long, but it needs a machine that does nothing else
def test_reading_is_quick(write_keras: Any) -> None:
    path = write_keras()
    assert min(timed(lambda: gate.read(path)) for _ in range(5)) < 0.06


def timed(function: Any) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def test_every_shared_model_reads(shared_models: Path) -> None:
    sizes = {
        "har_conv1d_st/model.h5": 12_075,
        "ic_resnet8/pretrainedResnet.h5": 78_666,
        "ic_resnet8/resnet8_jpg.h5": 78_666,
        "kws_dscnn/dscnn.h5": 24_908,
        "mhc_lstm_masking/HLA-A03_01_full.h5": 26_241,
        "mnist_cnn_keras3/mnist_model.h5": 34_826,
        "mnist_cnn_keras3/mnist_model.keras": 34_826,
        "thai_deepcut_2input/deepcut_full.h5": 535_025,
    }
    for name, parameters in sizes.items():
        graph = gate.read(shared_models / name)
        assert sum(facts.parameters for facts in gate.layer_facts(graph)) == parameters
    for name in (
        "mhc_lstm_masking/HLA-A03_01_BA.weights_only.h5",
        "thai_deepcut_2input/cnn_without_ne_ab.h5",
    ):
        with pytest.raises(errors.ModelError, match="weights only"):
            gate.read(shared_models / name)
