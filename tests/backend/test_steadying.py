"""Small kernels are not thrown over by a learning rate that is meant for larger ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.backend import rebuild
from edgepack.backend.steadying import LARGEST_STEP, Steadied
from edgepack.backend.training import fit
from edgepack.records import Json
from edgepack.stages.training import Training
from tests.backend.training_cases import dataset, quiet

pytestmark = pytest.mark.tensorflow


def model(scale: float) -> Any:
    """Pictures of 0 … 1/scale, as a network takes them whose normalizations were folded; a later layer has one."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(1)
    made = tf_keras.Sequential(
        [
            layers.Conv2D(8, 3, activation="relu", input_shape=(8, 8, 3), name="small"),
            layers.Conv2D(8, 3, name="under"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(4, activation="softmax", name="classes"),
        ]
    )
    for name in ("small", "under"):
        kernel, bias = made.get_layer(name).get_weights()
        made.get_layer(name).set_weights([kernel * scale, bias])
    return made


def test_which_kernels_and_how_much() -> None:
    found = Steadied.of(model(1e-3), "adam", 1e-3)
    ((variable, layer, share),) = found.shares
    size = float(np.sqrt(np.mean(np.square(variable.numpy()))))
    assert layer == "small" and share == pytest.approx(LARGEST_STEP * size / 1e-3, rel=1e-5)
    assert "steps of small were held to 5%" in found.told
    assert Steadied.of(model(1.0), "adam", 1e-3).shares == () == Steadied.of(model(1e-3), "sgd", 1e-3).shares


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop"])
def test_a_step_changes_a_small_kernel_by_little_and_others_as_ever(optimizer: str, tmp_path: Path) -> None:
    images = np.random.default_rng(0).uniform(0, 1000, (16, 8, 8, 3)).astype(np.float32)
    data = dataset(tmp_path, {"small_input": images}, np.arange(16) % 4)
    settings = {
        "epochs": 1,
        "batch_size": 16,
        "learning_rate": 1e-3,
        "optimizer": optimizer,
        "schedule": "constant",
    }
    made, notes = model(1e-3), list[dict[str, Json]]()
    before = {name: made.get_layer(name).get_weights()[0] for name in ("small", "under")}
    fit(made, Training.model_validate(settings).request(data) or {}, {}, 0, quiet, notes=notes)
    moved = {name: np.abs(made.get_layer(name).get_weights()[0] - old).max() for name, old in before.items()}
    size = float(np.sqrt(np.mean(np.square(before["small"]))))
    # RMSprop's first step is up to 1/√(1 − 0.9) times the learning rate.
    assert 0.0 < moved["small"] <= 3.3 * LARGEST_STEP * size
    assert moved["under"] > 0.5e-3
    assert any("steps of small" in str(note["reason"]) for note in notes)


def test_a_folded_model_learns_on_instead_of_forgetting(tmp_path: Path) -> None:
    """Taught by itself, a model has nothing to learn: it must not get far from where it is."""
    images = np.random.default_rng(0).uniform(0, 1000, (256, 8, 8, 3)).astype(np.float32)
    made = model(1e-3)
    made.get_layer("under").set_weights([made.get_layer("under").get_weights()[0] * 1e3, np.zeros(8)])
    teacher = tmp_path / "teacher.h5"
    rebuild.save(made, teacher)
    wanted = np.asarray(made(images))
    data = dataset(tmp_path, {"small_input": images}, None)
    request = Training.model_validate(
        {"epochs": 4, "learning_rate": 1e-3, "distill": {"alpha": 1.0}}
    ).request(data, teacher=teacher)
    fit(made, request or {}, {}, 0, quiet)
    assert np.abs(np.asarray(made(images)) - wanted).mean() < 0.02
