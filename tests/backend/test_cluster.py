"""Clustering leaves at most the asked values in the file, with or without training, and keeps zeros."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.backend import rebuild
from edgepack.backend.cluster import cluster
from edgepack.backend.constraints import cluster_members
from edgepack.numerics import sparsity
from edgepack.stages.training import Training
from tests.backend.training_cases import dataset, picture_net, pictures, quiet

pytestmark = pytest.mark.tensorflow

LAYERS = {
    "first": {"clusters": 4, "per": "channel"},
    "second": {"clusters": 3, "per": "channel", "kernels": ["pointwise"]},
    "classes": {"clusters": 6, "per": "layer", "initialization": "linear"},
}
KEEP = {name: {"zeros": True, "clusters": None} for name in LAYERS}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Half the weights of each kernel are zero."""
    model = picture_net()
    for name in LAYERS:
        layer = model.get_layer(name)
        layer.set_weights([np.where(sparsity.fraction_mask(w, 0.5), w, 0.0) for w in layer.get_weights()])
    rebuild.save(model, tmp_path / "source.h5")
    return tmp_path / "source.h5"


def run(source: Path, layers: dict[str, Any], keep: dict[str, Any], training: Any = None) -> dict[str, Any]:
    target = source.with_name("target.h5")
    return cluster(
        source=str(source),
        target=str(target),
        layers=layers,
        keep=keep,
        training=training,
        seed=0,
        report=quiet,
    )


@pytest.mark.parametrize("strategy", ["none", None, "mirrored"])
def test_no_more_values_than_asked_and_every_zero_stays(source: Path, strategy: str | None) -> None:
    images, labels = pictures()
    settings = Training(epochs=1, learning_rate=0.01, strategy=None if strategy == "none" else strategy)
    training = settings.request(dataset(source.parent / "data", {"image": images}, labels))
    found = run(source, LAYERS, KEEP, None if strategy == "none" else training)["layers"]
    assert found["first"]["distinct_per_channel"] <= 4 < found["first"]["distinct"]
    assert found["second"]["kernels"]["pointwise"]["distinct_per_channel"] <= 3
    assert found["classes"]["distinct"] <= 6
    before, after = rebuild.load(source), rebuild.load(source.with_name("target.h5"))
    for name in LAYERS:
        for old, new in zip(
            before.get_layer(name).get_weights(), after.get_layer(name).get_weights(), strict=True
        ):
            if old.ndim > 1:
                np.testing.assert_array_equal(new == 0, old == 0)


def test_training_moves_the_shared_values(source: Path) -> None:
    images, labels = pictures()
    training = Training(epochs=2, learning_rate=0.01).request(
        dataset(source.parent / "data", {"image": images}, labels)
    )
    run(source, LAYERS, KEEP)
    start = rebuild.load(source.with_name("target.h5"))
    history = run(source, LAYERS, KEEP, training)["history"]
    trained = rebuild.load(source.with_name("target.h5"))
    assert history[-1]["loss"] < history[0]["loss"]
    for name in LAYERS:
        old, new = (model.get_layer(name).get_weights()[0] for model in (start, trained))
        assert not np.array_equal(old, new)


def test_a_batch_normalization_is_folded_before_a_whole_layer_shares_its_values(source: Path) -> None:
    model = rebuild.load(source)
    generator = np.random.default_rng(0)
    norm = model.get_layer("norm")
    norm.set_weights([generator.uniform(0.5, 2.0, weight.shape) for weight in norm.get_weights()])
    rebuild.save(model, source)
    answer = run(source, {"first": {"clusters": 5, "per": "layer"}}, KEEP)
    assert answer["layers"]["first"]["distinct"] <= 5 and answer["notes"][0]["layer"] == "norm"
    written = rebuild.load(source.with_name("target.h5"))
    assert "norm" not in {layer.name for layer in written.layers}
    kept = run(source, {"first": {"clusters": 5, "per": "channel"}}, KEEP)
    assert kept["notes"] == []


def test_members_of_a_cluster_are_found_again_from_their_values() -> None:
    value = np.array([[1.0, 1.0], [2.0, 1.0], [1.0, 3.0]], np.float32)
    members, first = cluster_members(value, (1,))
    np.testing.assert_array_equal(value.reshape(-1)[first][members], value)
    assert members.max() == 3  # two values in each of two channels
    members, _ = cluster_members(value, ())
    assert members.max() == 2
