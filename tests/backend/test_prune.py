"""Pruning leaves at least the asked zeros in the file, with TF-MOT's schedules while training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors
from edgepack.backend import rebuild
from edgepack.backend.goals import goals
from edgepack.backend.prune import prune
from edgepack.backend.pruning_schedule import Ramp, ScheduledPruning, schedule
from edgepack.stages.training import Training
from tests.backend.training_cases import dataset, every_kind, picture_net, pictures, quiet

pytestmark = pytest.mark.tensorflow

LAYERS = {
    "first": {"sparsity": 0.53},
    "second": {"sparsity": 0.5, "kernels": ["pointwise"]},
    "classes": {"sparsity": 0.71, "schedule": "constant"},
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rebuild.save(picture_net(), tmp_path / "source.h5")
    return tmp_path / "source.h5"


def run(source: Path, layers: dict[str, Any], training: Any = None, **others: Any) -> dict[str, Any]:
    arguments = {"scope": "layer", "keep": {}, "seed": 0, "report": quiet, **others}
    target = source.with_name("target.h5")
    return prune(source=str(source), target=str(target), layers=layers, training=training, **arguments)


def request(folder: Path, **settings: Any) -> Any:
    images, labels = pictures()
    return Training(**{"epochs": 2, "learning_rate": 0.01, **settings}).request(
        dataset(folder / "data", {"image": images}, labels)
    )


@pytest.mark.parametrize("trains", [False, True])
def test_every_layer_has_at_least_the_asked_zeros(source: Path, trains: bool) -> None:
    answer = run(source, LAYERS, request(source.parent) if trains else None)
    for name, parameters in LAYERS.items():
        assert parameters["sparsity"] <= answer["layers"][name]["sparsity"] < parameters["sparsity"] + 0.02
    written = rebuild.load(source.with_name("target.h5"))
    depthwise, pointwise, _ = written.get_layer("second").get_weights()
    assert np.all(depthwise != 0) and np.mean(pointwise == 0) == 0.5
    assert len(answer["history"]) == (2 if trains else 0)


@pytest.mark.parametrize("trains", [False, True])
def test_one_threshold_over_all_layers(source: Path, trains: bool) -> None:
    layers = {name: {**parameters, "sparsity": 0.6} for name, parameters in LAYERS.items()}
    answer = run(source, layers, request(source.parent) if trains else None, scope="global")
    written = rebuild.load(source.with_name("target.h5"))
    kernels = [goal.kernel.value() for goal in goals(written, layers)]
    zeros = sum(int((kernel == 0).sum()) for kernel in kernels) / sum(kernel.size for kernel in kernels)
    assert 0.6 <= zeros < 0.61
    assert len({round(found["sparsity"], 2) for found in answer["layers"].values()}) > 1


@pytest.mark.parametrize("trains", [False, True])
def test_two_of_four_along_the_input_channels(source: Path, trains: bool) -> None:
    layers = {"second": {"pattern": "2:4", "sparsity": 0.5, "kernels": ["pointwise"]}}
    layers["classes"] = {"pattern": "2:4", "sparsity": 0.5}
    run(source, layers, request(source.parent, epochs=1) if trains else None)
    written = rebuild.load(source.with_name("target.h5"))
    for goal in goals(written, layers):
        kernel = goal.kernel.value()
        groups = kernel.reshape(-1, 4, kernel.shape[-1])
        assert np.all((groups == 0).sum(axis=1) == 2)


def test_blocks_and_thresholds(source: Path) -> None:
    layers = {"classes": {"pattern": "block", "block": [4, 1], "sparsity": 0.5}, "first": {"threshold": 0.1}}
    before = rebuild.load(source).get_layer("first").get_weights()[0]
    run(source, layers, request(source.parent, epochs=1))
    written = rebuild.load(source.with_name("target.h5"))
    blocks = written.get_layer("classes").get_weights()[0].reshape(-1, 4, 3)
    assert np.mean(np.all(blocks == 0, axis=1)) == 0.5
    np.testing.assert_array_equal(written.get_layer("first").get_weights()[0] == 0, np.abs(before) < 0.1)


def test_while_training_the_zeros_follow_the_schedules_of_tf_mot() -> None:
    import tensorflow as tf
    from tensorflow_model_optimization.sparsity import keras as tfmot

    model = picture_net()
    wanted = goals(
        model, {"classes": {"sparsity": 0.8, "ramp": 1.0}, "first": {"sparsity": 0.5, "schedule": "constant"}}
    )
    pruning = ScheduledPruning(wanted, "layer", updates=10)
    kinds = [type(schedule(goal, goal.sparsity, Ramp.over(10, 1.0))) for goal in wanted]
    assert sorted(kind.__name__ for kind in kinds) == ["ConstantSparsity", "PolynomialDecay"]
    assert all(issubclass(kind, tfmot.PruningSchedule) for kind in kinds)
    found = []
    for step in range(1, 11):
        pruning.update(tf.constant(step, tf.int64))
        found.append([float(np.mean(goal.kernel.value() == 0)) for goal in wanted])
    by_layer = dict(zip((goal.kernel.layer for goal in wanted), np.transpose(found), strict=True))
    cubic = [0.8 - 0.8 * (1 - (step - 1) / 9) ** 3 for step in range(1, 11)]  # Zhu and Gupta, eq. 1
    np.testing.assert_allclose(by_layer["classes"], cubic, atol=0.02)
    np.testing.assert_allclose(by_layer["first"], 0.5, atol=0.02)
    assert not pruning.settled(9) and pruning.settled(10)


def test_every_kind_of_layer_can_be_pruned_while_training(tmp_path: Path) -> None:
    rebuild.save(every_kind(), tmp_path / "source.h5")
    images, labels = pictures(16)
    ids = np.random.default_rng(0).integers(0, 10, (16, 6)).astype(np.int32)
    training = Training(epochs=1, batch_size=8).request(
        dataset(tmp_path, {"image": images, "ids": ids}, labels)
    )
    model = rebuild.load(tmp_path / "source.h5")
    layers = {
        goal.kernel.layer: {"sparsity": 0.5}
        for goal in goals(model, {layer.name: {} for layer in model.layers})
    }
    assert len(layers) == 13
    answer = run(tmp_path / "source.h5", layers, training)
    for name, found in answer["layers"].items():
        assert all(0.5 <= kernel["sparsity"] < 0.6 for kernel in found["kernels"].values()), name


def test_other_layers_keep_their_promises_and_clustered_ones_lose_no_cluster(source: Path) -> None:
    model = rebuild.load(source)
    for name in ("first", "classes"):
        kernel, *rest = model.get_layer(name).get_weights()
        model.get_layer(name).set_weights([np.round(kernel * 4) / 4, *rest])
    rebuild.save(model, source)
    keep = {name: {"zeros": True, "clusters": "layer"} for name in ("first", "classes")}
    answer = run(source, {"classes": {"sparsity": 0.9}}, request(source.parent), keep=keep)
    written = rebuild.load(source.with_name("target.h5"))
    for name in keep:
        old, new = (each.get_layer(name).get_weights()[0] for each in (model, written))
        assert not np.any(new[old == 0]) and len(np.unique(new)) <= len(np.unique(old))
    assert answer["layers"]["classes"]["sparsity"] >= 0.9
    assert any(note["layer"] == "classes" and "clusters" in note["reason"] for note in answer["notes"])


def test_the_same_seed_writes_the_same_bytes(source: Path) -> None:
    training = request(source.parent, epochs=1)
    written = []
    for _ in range(2):
        run(source, LAYERS, training)
        written.append(source.with_name("target.h5").read_bytes())
    assert written[0] == written[1]


def test_the_xnnpack_policy_refuses_a_model_that_would_not_run_sparse(source: Path) -> None:
    with pytest.raises(errors.ModelError, match="xnnpack_latency"):
        run(source, {"first": {"sparsity": 0.5, "policy": "xnnpack_latency"}})
