"""Model files that carry code or name it: refused by name, and nothing of it ever runs."""

from __future__ import annotations

import base64
import json
import marshal
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgepack import errors, gate
from tests.attacks import subjects
from tests.attacks.mutations import told
from tests.gate.conftest import input_entry, layer, sequential
from tests.tflite.handmade_tflite import Handmade

GENERATIONS = {"keras2": "2.15.0", "keras3": "3.5.0"}


def code_that_writes(marker: Path) -> str:
    """A lambda as both Keras write it: base64 of marshalled byte code."""
    code = compile(f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]", "<model>", "eval").co_consts[0]
    return base64.b64encode(marshal.dumps(code)).decode()


def lambda_model(marker: Path, generation: str) -> dict[str, Any]:
    code = code_that_writes(marker)
    if generation == "keras2":
        options: dict[str, Any] = {
            "function": [code, None, None],
            "function_type": "lambda",
            "output_shape": None,
        }
        first = layer("InputLayer", "x", batch_input_shape=[None, 4], dtype="float32")
        return sequential(first, layer("Lambda", "sneaky", **options, output_shape_type="raw", arguments={}))
    value = {"code": code, "defaults": None, "closure": None}
    function = {"class_name": "__lambda__", "config": value}
    return sequential(input_entry(), layer("Lambda", "sneaky", function=function, arguments={}))


def written(folder: Path, config: dict[str, Any], kind: str, version: str) -> Path:
    path = folder / f"model.{kind}"
    if kind == "keras":
        path.write_bytes(subjects.keras_bytes(config, version=version))
        return path
    with h5py.File(path, "w") as file:
        file.attrs["model_config"], file.attrs["keras_version"] = json.dumps(config), version.encode()
        file.attrs["backend"] = b"tensorflow"
        file.create_group("model_weights").attrs["layer_names"] = [b"sneaky"]
        group = file["model_weights"].create_group("sneaky")
        group.attrs["weight_names"] = []
    return path


@pytest.mark.parametrize("kind", ["keras", "h5"])
@pytest.mark.parametrize("generation", ["keras2", "keras3"])
def test_lambda_code_never_runs(generation: str, kind: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = written(tmp_path, lambda_model(marker, generation), kind, GENERATIONS[generation])
    with pytest.raises(errors.ModelError, match=r"layer 'sneaky' \(Lambda\)"):
        gate.read(path)
    recipe = tmp_path / "demo.toml"
    text = (subjects.ROOT / "recipes" / "digits_post_training.toml").read_text()
    recipe.write_text(text.replace("digits/", "").replace("digits.keras", path.name))
    for name in ("calibration", "evaluation"):
        (tmp_path / f"{name}.npz").symlink_to(subjects.ROOT / "recipes" / "digits" / f"{name}.npz")
    for command in (("inspect", path), ("build", recipe, "--out", tmp_path / "out")):
        answer = told(*command, folder=tmp_path, EDGEPACK_CACHE=str(tmp_path / "cache"))
        assert answer.kind == "refused" and "sneaky" in answer.words, answer.words
    assert not marker.exists()


LOAD = """
import sys, tf_keras
tf_keras.models.load_model(sys.argv[1], compile=False)([[0.0, 0.0, 0.0, 0.0]])
"""


@pytest.mark.slow
@pytest.mark.tensorflow
def test_the_code_is_sharp(tmp_path: Path) -> None:
    """The same file in the hands of tf_keras, safe mode and all: the marker appears."""
    marker = tmp_path / "marker"
    path = written(tmp_path, lambda_model(marker, "keras2"), "h5", GENERATIONS["keras2"])
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", LOAD, path], env=environment, check=False, capture_output=True)
    assert marker.exists()


NAMED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a saved graph (CVE-2026-1462)": ("keras.layers", "TFSMLayer", {"filepath": "/tmp/x", "call_endpoint": "f"}),
    "a Torch module (CVE-2025-49655)": ("keras.layers", "TorchModuleWrapper", {"module": "gASVBQAAAA=="}),
    "a JAX function": ("keras.layers", "JaxLayer", {"call_fn": {"class_name": "__lambda__"}}),
    "any module (CVE-2025-1550)": ("os", "system", {}),
    "a switch of safe mode (CVE-2025-8747, CVE-2025-9906)": (
        "keras.config", "enable_unsafe_deserialization", {},
    ),
    "a download (CVE-2025-12060)": ("keras.utils", "get_file", {"fname": "x", "origin": "http://127.0.0.1/"}),
    "a file as vocabulary (CVE-2025-12058)": ("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
}  # fmt: skip


@pytest.mark.parametrize("what", NAMED)
@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_what_models_may_name(what: str, kind: str, tmp_path: Path) -> None:
    module, name, config = NAMED[what]
    sneaky = layer(name, "sneaky", module=module)
    sneaky["config"] |= config
    model = sequential(input_entry(), sneaky)
    with pytest.raises(errors.ModelError, match="'sneaky'"):
        gate.read(written(tmp_path, model, kind, GENERATIONS["keras3"]))


@pytest.mark.parametrize("key", ["activation", "kernel_initializer", "kernel_regularizer", "dtype"])
@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_code_inside_a_sound_layer(key: str, kind: str, tmp_path: Path) -> None:
    """A Dense whose activation, initializer, regularizer or policy is a lambda or a class of a foreign module."""
    marker = tmp_path / "marker"
    code = {"code": code_that_writes(marker), "defaults": None, "closure": None}
    values: tuple[dict[str, Any], ...] = (
        {"class_name": "__lambda__", "config": code},
        {"module": "evil", "class_name": "Run", "config": {}, "registered_name": "evil>Run"},
    )
    for value in values:
        options: dict[str, Any] = {key: value, "use_bias": False}
        model = sequential(input_entry(), layer("Dense", "sneaky", units=2, **options))
        try:
            graph = gate.read(written(tmp_path, model, kind, GENERATIONS["keras3"]), with_weights=False)
        except errors.ModelError:
            pass
        else:  # what is of no use for inference is dropped
            assert "evil" not in str(graph.layers["sneaky"].config)
            assert str(code["code"]) not in str(graph.layers["sneaky"].config)
    assert not marker.exists()
    assert "evil" not in sys.modules


def test_a_saved_model_needs_trust(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(errors.TrustError, match="--trust-input"):
        gate.read(tmp_path / "saved")


@pytest.mark.parametrize("data", [b"\x08\x00\x00\x00TFL3", b"\x10\0\0\0TFL3\xff\xff\xff\xff\xff\xff\xff\xff"])
@pytest.mark.parametrize("command", ["inspect", "slim", "bench"])
def test_a_tflite_of_a_few_bytes(data: bytes, command: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    more = ("--out", tmp_path / "out.tflite") if command == "slim" else ()
    answer = told(command, path, *more, folder=tmp_path)
    assert answer.kind == "refused" and "not a sound .tflite" in answer.words, answer.words


def division_by_zero() -> bytes:
    """A SPLIT into no parts, by which LiteRT 2.3 is ended by a signal (as in CVE-2022-21741, of another operator)."""
    graph = Handmade()
    axis = graph.tensor("axis", (1,), "int32", value=np.array([1], np.int32))
    x, y = graph.tensor("x", (1, 4), "float32"), graph.tensor("y", (1, 4), "float32")
    graph.op("SPLIT", [axis, x], [y])
    graph.ops[-1].builtinOptions = schema.SplitOptionsT()
    graph.ops[-1].builtinOptionsType = schema.BuiltinOptions.SplitOptions
    return graph.to_bytes([x], [y])


def test_an_operator_that_crashes_the_interpreter(tmp_path: Path) -> None:
    """A sound file: only running it shows; the child that runs it is what dies, and no stack of ours is shown."""
    path = tmp_path / "model.tflite"
    path.write_bytes(division_by_zero())
    answer = told("bench", path, folder=tmp_path)
    assert answer.kind == "refused" and "the interpreter process was ended by SIG" in answer.words, (
        answer.words
    )
    assert 'File "' not in answer.words and "Fatal Python error" not in answer.words
    kept = told("slim", path, "--out", tmp_path / "out.tflite", folder=tmp_path)
    assert kept.kind == "accepted"
    assert (tmp_path / "out.tflite").read_bytes() == path.read_bytes()  # nothing could be proved
