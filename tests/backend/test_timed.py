"""``TimeDistributed`` around a whole model: its layers are plain layers that stages act on and TFLite runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import gate, tflite
from edgepack.backend import rebuild
from edgepack.backend.cluster import cluster
from edgepack.backend.factorize import factorize
from edgepack.backend.prune import prune
from edgepack.gate.facts import layer_facts
from tests.backend.converting_cases import converted
from tests.backend.training_cases import quiet

pytestmark = pytest.mark.tensorflow

VIDEOS = np.random.default_rng(2).normal(0.0, 1.0, (24, 3, 8, 9, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CNN on each frame, then an LSTM, as tf_keras saves it."""
    import tf_keras as keras

    layers = keras.layers
    keras.utils.set_random_seed(3)
    frames = keras.Sequential([
        layers.Conv2D(8, 3, activation="relu", name="conv"), layers.BatchNormalization(), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(16, name="embed"),
    ])  # fmt: skip
    x = keras.Input((3, 8, 9, 2), name="video")
    model = keras.Model(x, layers.Dense(3)(layers.LSTM(6)(layers.TimeDistributed(frames, name="each")(x))))
    path = tmp_path_factory.mktemp("timed") / "video.keras"
    model.save(path)
    return path


def test_converts_to_integers_without_loops(source: Path, tmp_path: Path) -> None:
    model = rebuild.load(source)
    made = converted(model, {"video": VIDEOS}, tmp_path)
    assert tflite.computing_float_ops(made.model) == {}
    names = {op.name for op in made.model.main.ops}
    assert "WHILE" not in names and {"CONV_2D", "UNIDIRECTIONAL_SEQUENCE_LSTM"} <= names
    (output,) = made.run({"video": VIDEOS}).values()
    wanted = np.asarray(model(VIDEOS))
    assert np.abs(output - wanted).mean() / wanted.std() < 0.1


@pytest.mark.parametrize("name", ["each_conv", "each_embed"])
def test_stages_act_on_the_layers_inside(source: Path, name: str, tmp_path: Path) -> None:
    common: dict[str, Any] = {"keep": {}, "training": None, "seed": 0, "report": quiet}
    pruned, clustered = tmp_path / "pruned.h5", tmp_path / "clustered.h5"
    prune(source=str(source), target=str(pruned), layers={name: {"sparsity": 0.5}}, scope="layer", **common)
    cluster(
        source=str(pruned),
        target=str(clustered),
        layers={name: {"clusters": 8, "per": "layer", "initialization": "linear"}},
        **{**common, "keep": {name: {"zeros": True, "clusters": None}}},
    )
    (facts,) = [facts for facts in layer_facts(gate.read(clustered)) if facts.name == name]
    kernel = facts.kernels[0].array
    assert np.mean(kernel == 0) >= 0.5 and len(np.unique(kernel)) <= 8


def test_a_dense_layer_inside_is_factorized(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.h5"
    factorize(
        source=str(source), target=str(target), layers={"each_embed": {"form": "dense", "rank": 4}},
        keep={}, training=None, seed=0, report=quiet,
    )  # fmt: skip
    model = rebuild.load(target)
    assert model.get_layer("each_embed_reduce").get_weights()[0].shape == (72, 4)
    assert model(VIDEOS[:2]).shape == (2, 3)
