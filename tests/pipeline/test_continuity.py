"""`[continuity]`: the update from the previous package stays small, and what cannot go on is said."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors, tflite
from edgepack.cli import run
from edgepack.pipeline import continuing
from edgepack.pipeline.quantizing import Quantized
from edgepack.pipeline.reporter import Silent
from edgepack.pipeline.result import MetricResult
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe
from edgepack.store import Store
from edgepack.tflite.slimming import slim
from tests.pipeline.conftest import built
from tests.tflite.test_continuing import two_layers

TABLES: dict[str, Any] = {
    "edgepack": 1,
    "name": "x",
    "version": "1",
    "model": {"path": "m.h5"},
    "quantize": {"scheme": "float32"},
}


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Store(tmp_path / "cache") as store, Workspace(store, Silent()) as made:
        yield made


def quantized(folder: Path, data: bytes) -> Quantized:
    path = folder / "new.tflite"
    path.write_bytes(data)
    return Quantized(artifact=tflite.adopt(path), notes=(), ids=(), stateful=False, remedy="plain")


def metric(value: float) -> MetricResult:
    return MetricResult(
        name="top1",
        float_value=1.0,
        tflite_value=value,
        drop=1.0 - value,
        interval=(0.0, 0.0),
        samples=9,
        agreement=None,
    )


def carried(
    tmp_path: Path,
    workspace: Workspace,
    old: bytes,
    new: bytes,
    *,
    loss: float = 0.0,
    keeps: bool = True,
    **keys: Any,
) -> tuple[Quantized, continuing.Update]:
    """`carried_on` where every mixture is worse by `loss`."""
    recipe = Recipe.model_validate({**TABLES, "continuity": {"from": "old.edgepack", **keys}})
    assert recipe.continuity is not None
    made = quantized(tmp_path, new)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(continuing, "_previous", lambda path: old)
        return continuing.carried_on(
            recipe,
            recipe.continuity,
            made,
            None,
            workspace,
            judge=lambda artifact: metric(0.9 if artifact == made.artifact else 0.9 - loss),
            keeps_promises=lambda offered: keeps,
            max_drop=0.2,
        )


def test_the_update_has_the_size_that_was_asked_for(tmp_path: Path, workspace: Workspace) -> None:
    old, new = slim(two_layers(1)), slim(two_layers(1, moved=20.0))  # as every build ends
    made, update = carried(tmp_path, workspace, old, new, max_share=0.16)
    assert made.twin is not None and made.artifact.sha256 != made.twin.sha256
    assert update.delta_bytes <= 0.17 * update.full_bytes < update.without_delta_bytes
    assert 0 < update.kept < 1 and update.previous == "old.edgepack"
    wider = carried(tmp_path, workspace, old, new, max_share=0.9)[1]
    assert wider.delta_bytes > update.delta_bytes and wider.kept < update.kept


@pytest.mark.parametrize("why", [{"loss": 0.01}, {"keeps": False}])
def test_what_costs_too_much_or_breaks_a_promise_is_not_shipped(
    why: dict[str, Any], tmp_path: Path, workspace: Workspace
) -> None:
    made, update = carried(tmp_path, workspace, two_layers(1), two_layers(1, moved=20.0), **why)
    assert made.twin is None and update.kept == 0 and update.delta_bytes == update.without_delta_bytes
    assert any("as without continuity" in note.reason for note in made.notes)


def test_other_layers_are_named_and_left(tmp_path: Path, workspace: Workspace) -> None:
    new = two_layers(1, units=7, moved=5.0)
    made, update = carried(tmp_path, workspace, two_layers(1), new, max_share=0.9)
    assert update.delta_bytes < update.without_delta_bytes
    left = [note for note in made.notes if note.action == "left alone"]
    assert len(left) == 1 and "[7, 16]" in left[0].reason
    assert any("it is another graph" in note.reason for note in made.notes)


def test_a_previous_package_that_is_missing_or_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "r.toml"
    shipped = Path(__file__).resolve().parents[2] / "recipes"
    text = (shipped / "digits_post_training.toml").read_text().replace('"digits/', f'"{shipped}/digits/')
    recipe.write_text(f'{text}\n[continuity]\nfrom = "old.edgepack"\n')
    assert run(["check", str(recipe)]) == errors.PackageError.exit_code
    assert "no such package; [continuity] from names the release" in capsys.readouterr().err
    (tmp_path / "old.edgepack").write_bytes(b"nothing of the kind")
    assert run(["check", str(recipe)]) == errors.PackageError.exit_code


def test_a_limit_on_the_update_needs_something_to_update_from() -> None:
    with pytest.raises(ValueError, match="of an update from what"):
        Recipe.model_validate({**TABLES, "budget": {"max_delta_bytes": 1000}})


MNIST = """
edgepack = 1
name = "digits"
version = "{version}.0.0"
[model]
path = "v{version}.keras"
[data.training]
path = "training_{version}.npz"
inputs = "x"
labels = "y"
[data.calibration]
path = "training_{version}.npz"
inputs = "x"
count = 200
[data.evaluation]
path = "evaluation.npz"
inputs = "x"
labels = "y"
[preprocess]
scale = 0.00392156862745098
[metric]
name = "top1"
[[stage]]
use = "prune"
sparsity = 0.6
[[stage]]
use = "cluster"
clusters = 16
[budget]
max_drop = 0.02
"""


@pytest.mark.slow
@pytest.mark.tensorflow
def test_a_retrained_network_is_an_update_of_four_percent(shared_models: Path, tmp_path: Path) -> None:
    _two_releases(shared_models / "mnist_cnn_keras3", tmp_path)
    for version in (1, 2):
        (tmp_path / f"r{version}.toml").write_text(MNIST.format(version=version))
    with (tmp_path / "r2.toml").open("a") as file:
        file.write('[continuity]\nfrom = "out1/digits-1.0.0.edgepack"\n')
    first, _ = built(tmp_path / "r1.toml", tmp_path / "out1", tmp_path / "cache")
    second, _ = built(tmp_path / "r2.toml", tmp_path / "out2", tmp_path / "cache")
    made = second.packages[0]
    assert first.passed and second.passed, made.reasons
    assert made.tflite is not None and made.tflite.stat().st_size >= 300_000
    told = made.continuity
    assert told is not None
    print(told)
    assert float(str(told["delta_share"])) <= 0.04
    assert float(str(told["without_metric"])) - float(str(told["metric"])) <= 0.005
    assert int(str(told["without_delta_bytes"])) > 10 * int(str(told["delta_bytes"]))
    kinds = {item.kind for item in made.invariants}
    assert {"sparsity", "clusters"} <= kinds and all(item.holds for item in made.invariants)


def _two_releases(data: Path, folder: Path) -> None:
    """Trains a network, saves it, trains it on on partly other data, saves it again."""
    import tf_keras as keras

    pixels = gzip.decompress((data / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = np.frombuffer(gzip.decompress((data / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:], np.uint8)
    images = np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28, 1)
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], labels[order]
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.BatchNormalization(),
            layers.Conv2D(48, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    for version, rows, epochs, rate in ((1, slice(0, 5000), 4, 1e-3), (2, slice(2000, 7000), 1, 3e-4)):
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
        model.fit(
            images[rows].astype(np.float32) / 255, labels[rows], epochs=epochs, batch_size=64, verbose=0
        )
        model.save(folder / f"v{version}.keras")
        np.savez(folder / f"training_{version}.npz", x=images[rows], y=labels[rows])
    np.savez(folder / "evaluation.npz", x=images[7000:], y=labels[7000:])
