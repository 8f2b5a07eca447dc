"""Bad input through the installed command: a clear message, the right exit code, never a traceback.

Every case breaks the demo in one way. None of them needs TensorFlow: all are found before it would be started.
"""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def edit(folder: Path, old: str, new: str) -> None:
    recipe = folder / "digits.toml"
    text = recipe.read_text()
    assert old in text
    recipe.write_text(text.replace(old, new, 1))


def resave(folder: Path, name: str, **arrays: np.ndarray) -> None:
    path = folder / "digits" / f"{name}.npz"
    with np.load(path) as stored:
        content = {key: stored[key] for key in stored.files}
    np.savez(path, **{**content, **arrays})


def images(folder: Path, name: str) -> np.ndarray:
    with np.load(folder / "digits" / f"{name}.npz") as stored:
        return stored["x"].astype(np.float32)


def remodel(folder: Path, change: Callable[[dict], None]) -> None:
    """Rewrites the model's config.json."""
    path = folder / "digits" / "digits.keras"
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def replace_model(folder: Path, name: str, data: bytes) -> None:
    (folder / "digits" / name).write_bytes(data)
    edit(folder, "digits/digits.keras", f"digits/{name}")


def lambda_layer(config: dict) -> None:
    layer = {"class_name": "Lambda", "module": "keras.layers", "config": {"name": "evil", "function": "x"}}
    config["config"]["layers"].insert(2, {**layer, "registered_name": None})


def foreign_module(config: dict) -> None:
    config["config"]["layers"][2] |= {"module": "os", "class_name": "system", "registered_name": None}


def zip_bomb(folder: Path) -> None:
    path = folder / "digits" / "digits.keras"
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("assets/zeros.bin", bytes(200_000_000))


def truncated_h5(folder: Path) -> None:
    whole = folder / "whole.h5"
    with h5py.File(whole, "w") as file:
        file["x"] = np.zeros(100_000)
    replace_model(folder, "model.h5", whole.read_bytes()[:50_000])


def weights_only(folder: Path) -> None:
    path = folder / "digits" / "weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        group = file.create_group("dense")
        group.attrs["weight_names"] = [b"dense/kernel:0"]
        group["dense/kernel:0"] = np.zeros((2, 2))
    edit(folder, "digits/digits.keras", "digits/weights.h5")


def not_a_number(folder: Path) -> None:
    values = images(folder, "calibration")
    values[3, 2, 2, 0] = np.nan
    resave(folder, "calibration", x=values)


def wrong_shape(folder: Path) -> None:
    resave(folder, "calibration", x=images(folder, "calibration")[:, :4])


def fewer_labels(folder: Path) -> None:
    resave(folder, "evaluation", y=np.zeros(10, np.int64))


def pickled(folder: Path) -> None:
    path = folder / "digits" / "calibration.npz"
    np.savez(path, x=np.array([{"a": 1}] * 3, dtype=object))


def unlabelled(folder: Path) -> None:
    path = folder / "digits" / "evaluation.npz"
    np.savez(path, x=images(folder, "evaluation"))


def labels_out_of_range(folder: Path) -> None:
    resave(folder, "evaluation", y=np.full(597, 40, np.int64))


@dataclass(frozen=True)
class Case:
    name: str
    spoil: Callable[[Path], None]
    code: int
    says: tuple[str, ...]


CASES = [
    Case("malformed TOML", lambda f: edit(f, "[model]", "[model"), 65, ("digits.toml", "line")),
    Case("not TOML at all", lambda f: (f / "digits.toml").write_bytes(b"\x00\xff\xfe"), 65, ("digits.toml",)),
    Case("no recipe", lambda f: (f / "digits.toml").unlink(), 65, ("digits.toml",)),
    Case("missing key", lambda f: edit(f, 'path = "digits/digits.keras"', ""), 65, ("[model]", "path")),
    Case("unknown key", lambda f: edit(f, "sparsity = 0.6", "sparisty = 0.6"), 65, ("sparisty", "sparsity")),
    Case("unknown stage", lambda f: edit(f, '"factorize"', '"factorise"'), 65, ("factorise", "factorize")),
    Case("unknown table", lambda f: edit(f, "[budget]", "[budgets]"), 65, ("budgets", "budget")),
    Case("wrong type", lambda f: edit(f, "sparsity = 0.6", 'sparsity = "high"'), 65, ("sparsity",)),
    Case("impossible value", lambda f: edit(f, "sparsity = 0.6", "sparsity = 1.6"), 65, ("sparsity",)),
    Case("unknown metric", lambda f: edit(f, '"top1"', '"accuracy_"'), 65, ("accuracy_", "top1")),
    Case("newer recipe format", lambda f: edit(f, "edgepack = 1", "edgepack = 9"), 65, ("edgepack", "9")),
    Case("name that is a path", lambda f: edit(f, 'name = "digits"', 'name = "../../etc"'), 65, ("name",)),
    Case("no model file", lambda f: (f / "digits" / "digits.keras").unlink(), 65, ("digits.keras",)),
    Case("wrong pin", lambda f: edit(f, "[model]", '[model]\nsha256 = "' + "0" * 64 + '"'), 65, ("SHA-256", "pin")),
    Case("text as model", lambda f: replace_model(f, "model.keras", b"hello, I am a model\n"), 65, ("model.keras",)),
    Case("empty model", lambda f: replace_model(f, "model.h5", b""), 65, ("model.h5", "empty")),
    Case("ONNX model", lambda f: replace_model(f, "model.onnx", b"\x08\x08\x12\x07pytorch"), 65, ("onnx2tf",)),
    Case("PyTorch model", lambda f: replace_model(f, "model.pt", b"PK\x03\x04" + bytes(80)), 65, ("model.pt",)),
    Case("truncated h5", truncated_h5, 65, ("model.h5",)),
    Case("weights only", weights_only, 65, ("weights.h5", "weights only")),
    Case("Lambda layer", lambda f: remodel(f, lambda_layer), 65, ("Lambda", "evil")),
    Case("foreign module", lambda f: remodel(f, foreign_module), 65, ("system",)),
    Case("zip bomb", zip_bomb, 65, ("zeros.bin",)),
    Case("no calibration file", lambda f: (f / "digits" / "calibration.npz").unlink(), 65, ("calibration.npz",)),
    Case("wrong-shape calibration", wrong_shape, 65, ("calibration", "8")),
    Case("NaN in the data", not_a_number, 65, ("calibration", "nan")),
    Case("wrong array name", lambda f: edit(f, 'inputs = "x"', 'inputs = "images"'), 65, ("images", "x")),
    Case("pickled array", pickled, 65, ("calibration.npz",)),
    Case("no labels", unlabelled, 65, ("labels", "y")),
    Case("labels of another length", fewer_labels, 65, ("597", "10")),
    Case("provider without trust", lambda f: edit(f, 'path = "digits/calibration.npz"\ninputs = "x"\nlabels = "y"',
                                                  'provider = "mine:data"'), 77, ("--trust-code",)),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_explained(case: Case, project: Path, edgepack: Run, tmp_path: Path) -> None:
    case.spoil(project)
    answer = edgepack("build", project / "digits.toml", "--json", "--out", tmp_path / "out")
    assert answer.returncode == case.code, answer.stderr
    assert "Traceback" not in answer.stderr + answer.stdout
    for word in case.says:
        assert word in answer.stderr, answer.stderr
    assert answer.stderr.splitlines()[-1].startswith("next: "), answer.stderr
    told = json.loads(answer.stdout)
    assert told["schema"] == "edgepack.build/1"
    assert told["status"] == "failed"
    assert told["reasons"] and told["reasons"][0] in answer.stderr
    assert told["package"] is None


def test_check_finds_a_bad_recipe_too(project: Path, edgepack: Run) -> None:
    edit(project, "sparsity = 0.6", "sparisty = 0.6")
    answer = edgepack("check", project / "digits.toml")
    assert answer.returncode == 65
    assert "sparsity" in answer.stderr and "Traceback" not in answer.stderr


def test_usage_errors_are_2(project: Path, edgepack: Run) -> None:
    for arguments in (["build"], ["biuld", "x"], ["build", "x", "--nonsense"], ["bench"]):
        answer = edgepack(*arguments)
        assert answer.returncode == 2, answer.stderr
        assert "Traceback" not in answer.stderr
        assert "--help" in answer.stderr, answer.stderr


def test_unknown_device_names_the_nearest(project: Path, edgepack: Run) -> None:
    answer = edgepack("build", project / "digits.toml", "--device", "rpi44")
    assert answer.returncode == 69
    assert "rpi4" in answer.stderr


def test_output_that_is_a_file(project: Path, edgepack: Run, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    answer = edgepack("build", project / "digits.toml", "--out", tmp_path / "taken")
    assert answer.returncode in (2, 74)
    assert "taken" in answer.stderr and "Traceback" not in answer.stderr


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/self").exists(), reason="needs /proc")
def test_unwritable_output(project: Path, edgepack: Run) -> None:
    answer = edgepack("build", project / "digits.toml", "--out", "/proc/self/edgepack-out")
    assert answer.returncode == 74
    assert "edgepack-out" in answer.stderr and "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", ["inspect", "bench", "eval"])
def test_a_missing_file_is_bad_input(command: str, project: Path, edgepack: Run, tmp_path: Path) -> None:
    extra = ["--recipe", project / "digits.toml"] if command == "eval" else []
    answer = edgepack(command, tmp_path / "absent.tflite", *extra)
    assert answer.returncode == 65
    assert "absent.tflite" in answer.stderr and "Traceback" not in answer.stderr


@pytest.mark.parametrize("command", ["inspect", "bench", "eval"])
def test_a_damaged_tflite_is_bad_input(command: str, project: Path, edgepack: Run, tmp_path: Path) -> None:
    (tmp_path / "damaged.tflite").write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(100))
    extra = ["--recipe", project / "digits.toml"] if command == "eval" else []
    answer = edgepack(command, tmp_path / "damaged.tflite", *extra)
    assert answer.returncode == 65
    assert "damaged.tflite" in answer.stderr and "Traceback" not in answer.stderr
