"""A layer class of the user's own: refused without trust, built with it, and never served stale."""

from __future__ import annotations

import os
import subprocess
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import tflite
from tests.pipeline.processes import COMMAND

pytestmark = pytest.mark.tensorflow

LAYER = """
import tensorflow as tf

class Shift(tf.keras.layers.Layer):
    def __init__(self, amount=1.0, **kwargs):
        super().__init__(**kwargs)
        self.amount = amount

    def build(self, shape):
        self.scale = self.add_weight(name="scale", shape=(shape[-1],), initializer="ones")

    def call(self, inputs):
        return tf.nn.relu(inputs * self.scale + self.amount)

    def get_config(self):
        return {**super().get_config(), "amount": self.amount}
"""
RECIPE = """
edgepack = 1
name = "own"
version = "1.0.0"
[model]
path = "model.h5"
custom = ["own_layers:Shift"]
[data.calibration]
path = "data.npz"
inputs = "x"
[data.evaluation]
path = "data.npz"
inputs = "x"
labels = "y"
start = 0
[metric]
name = "mae"
[[stage]]
use = "cluster"
clusters = 16
[budget]
max_drop = 1.0
"""


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tf_keras

    folder = tmp_path_factory.mktemp("own")
    (folder / "own_layers.py").write_text(LAYER)
    names: dict[str, Any] = {}
    exec(LAYER, names)
    tf_keras.utils.set_random_seed(1)
    model = tf_keras.Sequential(
        [
            tf_keras.Input((12,), name="x"),
            tf_keras.layers.Dense(64, name="first"),
            names["Shift"](amount=0.5, name="shift"),
            tf_keras.layers.Dense(4, name="last"),
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # .h5 is called legacy
        model.save(folder / "model.h5", include_optimizer=False)
    random = np.random.default_rng(1)
    x = random.normal(size=(200, 12)).astype(np.float32)
    np.savez(folder / "data.npz", x=x, y=model(x).numpy() + random.normal(scale=0.5, size=(200, 4)))
    (folder / "own.toml").write_text(RECIPE)
    return folder / "own.toml"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("own-cache")


def build(recipe: Path, cache: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, "build", recipe, "--no-bench", "--out", recipe.parent / "out", *options],
        env={**os.environ, "EDGEPACK_CACHE": str(cache), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_trust_nothing_is_started(recipe: Path, cache: Path) -> None:
    answer = build(recipe, cache)
    assert answer.returncode == 77 and "own_layers:Shift" in answer.stderr and "--trust-code" in answer.stderr
    assert "✓" not in answer.stderr and "Traceback" not in answer.stderr
    assert not (recipe.parent / "__pycache__").exists(), "the layer's module was imported"


def test_with_trust_it_becomes_int8_and_follows_its_code(recipe: Path, cache: Path) -> None:
    answer = build(recipe, cache, "--trust-code")
    assert answer.returncode == 0, answer.stdout + answer.stderr
    made = recipe.parent / "out" / "own-1.0.0.tflite"
    assert tflite.computing_float_ops(tflite.read(made)) == {}
    first = made.read_bytes()
    again = build(recipe, cache, "--trust-code")
    assert all("from the store" in line for line in again.stderr.splitlines() if "✓" in line)
    assert made.read_bytes() == first
    (recipe.parent / "own_layers.py").write_text(LAYER.replace("tf.nn.relu", "tf.nn.relu6"))
    changed = build(recipe, cache, "--trust-code")
    assert changed.returncode == 0, changed.stdout + changed.stderr
    assert made.read_bytes() != first


@pytest.mark.parametrize("reference", ["absent_module:Shift", "own_layers:Shifted", "json:dumps"])
def test_a_class_that_cannot_be_had_is_bad_input(reference: str, recipe: Path, tmp_path: Path) -> None:
    other = recipe.with_name("other.toml")
    other.write_text(RECIPE.replace('custom = ["', f'custom = ["{reference}", "'))
    answer = build(other, tmp_path / "cache", "--trust-code")
    assert answer.returncode == 65, answer.stderr
    assert f"[model] custom = '{reference}'" in answer.stderr and "Traceback" not in answer.stderr


def test_too_little_memory_is_told(recipe: Path, tmp_path: Path) -> None:
    answer = build(recipe, tmp_path / "cache", "--trust-code", "--memory", "1")
    assert answer.returncode == 70, answer.stderr
    assert "its memory limit is 1 GB" in answer.stderr and "--memory" in answer.stderr
    assert "Traceback" not in answer.stderr
