"""Data-aware pruning, clustering and rounding: what was asked is in the file, and the outputs suffer least."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import tflite
from edgepack.backend import rebuild
from edgepack.backend.cluster import cluster
from edgepack.backend.convert import convert
from edgepack.backend.fold_operation import fold
from edgepack.backend.kernels import kernel_variables, named_layer
from edgepack.backend.prune import prune
from edgepack.backend.round_weights import round_weights
from edgepack.backend.statistics import statistics
from edgepack.gate.facts import layer_facts
from edgepack.stages.training import Training
from edgepack.tflite.invariants import locate
from tests.backend.training_cases import dataset, every_kind, picture_net, pictures, quiet

pytestmark = pytest.mark.tensorflow

IMAGES, LABELS = pictures(200)
NAMES = ("first", "second", "classes")


class Observed:
    """A folded candidate with its statistics, and what the stages make of it."""

    def __init__(self, folder: Path, model: Any, inputs: dict[str, np.ndarray]) -> None:
        self.folder, self.inputs = folder, inputs
        self.data = dataset(folder / "data", inputs, None).to_json()
        rebuild.save(model, folder / "source.h5")
        self.source, self.statistics = folder / "folded.h5", folder / "statistics.npz"
        fold(source=str(folder / "source.h5"), target=str(self.source), report=quiet)
        shared: dict[str, Any] = {"calibration": self.data, "seed": 0, "report": quiet}
        statistics(source=str(self.source), target=str(self.statistics), samples=256, **shared)
        self.model = rebuild.load(self.source)

    def made(self, operation: Callable[..., dict[str, Any]], layers: dict[str, Any], **given: Any) -> Any:
        """(answer, live model) of an operation."""
        target = self.folder / "target.h5"
        given = {"calibration": self.data, "seed": 0, **given}
        if operation is not round_weights:
            given = {"method": "obs", "keep": {}, "training": None, **given}
        given.setdefault("statistics", str(self.statistics))
        answer = operation(source=str(self.source), target=str(target), layers=layers, report=quiet, **given)
        return answer, rebuild.load(target)

    def drift(self, model: Any) -> float:
        """Mean squared change of the outputs."""
        rows = [self.inputs[name] for name in self.model.input_names]
        before, after = (each(rows[0]).numpy() for each in (self.model, model))
        return float(np.square(before - after).mean())

    def converted(self, model: Any, *, per_tensor: bool = False) -> tflite.Model:
        rebuild.save(model, self.folder / "made.h5")
        convert(
            source=str(self.folder / "made.h5"),
            target=str(self.folder / "made.tflite"),
            scheme="int8",
            calibration=self.data,
            per_tensor=per_tensor,
            report=quiet,
        )
        return tflite.read(self.folder / "made.tflite")


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Observed:
    model = picture_net()
    generator = np.random.default_rng(0)
    norm = model.get_layer("norm")
    norm.set_weights([generator.uniform(0.5, 2.0, weight.shape) for weight in norm.get_weights()])
    return Observed(tmp_path_factory.mktemp("pictured"), model, {"image": IMAGES})


def stored(model: Any, made: tflite.Model) -> dict[tuple[str, str], np.ndarray]:
    """The integer codes of every kernel that is found again, [channels, weights per channel]."""
    found = {}
    for facts in layer_facts(rebuild.graph_of(model)):
        for kernel in facts.kernels:
            (part,) = locate(facts, kernel, made)
            found[facts.name, kernel.role] = part.stored
    return found


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_asked_zeros_at_less_harm_than_by_magnitude(pictured: Observed, scope: str) -> None:
    layers = {name: {"sparsity": 0.6, "kernels": ["kernel", "pointwise", "depthwise"]} for name in NAMES}
    answer, model = pictured.made(prune, layers, scope=scope)
    if scope == "layer":
        assert all(answer["layers"][name]["sparsity"] >= 0.6 for name in NAMES)
    else:
        kernels = [kernel.value() for name in NAMES for kernel in kernel_variables(named_layer(model, name))]
        whole = np.concatenate([kernel.ravel() for kernel in kernels])
        assert 0.6 <= np.mean(whole == 0) < 0.61
    _, plain = pictured.made(prune, layers, scope=scope, method="magnitude")
    assert pictured.drift(model) < 0.5 * pictured.drift(plain)


@pytest.mark.parametrize(
    ("goal", "zeros"),
    [
        ({"threshold": 0.1}, None),
        ({"sparsity": 0.5, "pattern": "2:4"}, 0.5),
        ({"sparsity": 0.5, "pattern": "block", "block": (2, 2)}, 0.5),
    ],
)
def test_other_goals_are_repaired_too(pictured: Observed, goal: dict[str, Any], zeros: float | None) -> None:
    layers = {"second": {**goal, "kernels": ["pointwise"]}}
    answer, model = pictured.made(prune, layers, scope="layer")
    _, plain = pictured.made(prune, layers, scope="layer", method="magnitude")
    assert pictured.drift(model) < pictured.drift(plain)
    if zeros is None:
        before, after = (each.get_layer("second").get_weights()[1] for each in (pictured.model, model))
        assert not after[np.abs(before) < 0.1].any()
    else:
        assert answer["layers"]["second"]["sparsity"] == zeros


@pytest.mark.slow
def test_training_behind_keeps_the_zeros(pictured: Observed) -> None:
    training = Training(epochs=1, learning_rate=0.01).request(
        dataset(pictured.folder / "training", {"image": IMAGES}, LABELS)
    )
    layers = {"first": {"sparsity": 0.5}}
    answer, _ = pictured.made(prune, layers, scope="layer", training=training)
    assert len(answer["history"]) == 1 and answer["layers"]["first"]["sparsity"] == 0.5


@pytest.mark.parametrize("per", [pytest.param("channel", marks=pytest.mark.slow), "layer"])
def test_few_values_that_int8_keeps(pictured: Observed, per: str) -> None:
    layers = {name: {"clusters": 5, "per": per} for name in NAMES}
    answer, model = pictured.made(cluster, layers)
    counted = "distinct" if per == "layer" else "distinct_per_channel"
    assert all(answer["layers"][name][counted] <= 5 for name in NAMES) and answer["notes"] == []
    _, plain = pictured.made(cluster, layers, method="kmeans")
    assert pictured.drift(model) < pictured.drift(plain)
    for codes in stored(model, pictured.converted(model, per_tensor=per == "layer")).values():
        rows = [codes] if per == "layer" else codes
        assert max(len(np.unique(row)) for row in rows) <= 5 and np.abs(codes).max() == 127


def test_zeros_survive_sharing(pictured: Observed) -> None:
    _, pruned = pictured.made(prune, {name: {"sparsity": 0.5} for name in NAMES}, scope="layer")
    rebuild.save(pruned, pictured.folder / "pruned.h5")
    arguments = {"keep": {"first": {"zeros": True, "clusters": None}}, "training": None, "seed": 0}
    cluster(
        source=str(pictured.folder / "pruned.h5"),
        target=str(pictured.folder / "both.h5"),
        layers={"first": {"clusters": 4, "per": "channel"}},
        statistics=str(pictured.statistics),
        calibration=pictured.data,
        method="obs",
        report=quiet,
        **arguments,
    )
    before, after = (rebuild.load(pictured.folder / name) for name in ("pruned.h5", "both.h5"))
    before, after = (model.get_layer("first").get_weights()[0] for model in (before, after))
    np.testing.assert_array_equal(after == 0, before == 0)
    assert max(len(np.unique(after[..., channel])) for channel in range(after.shape[-1])) <= 4


@pytest.mark.parametrize("per", ["channel", pytest.param("layer", marks=pytest.mark.slow)])
def test_the_file_has_the_codes_that_were_chosen(pictured: Observed, per: str) -> None:
    layers = {name: {"kernels": ["kernel", "depthwise", "pointwise"]} for name in NAMES}
    answer, model = pictured.made(round_weights, layers, bits=4, per=per)
    assert set(answer["layers"]) == set(NAMES)
    levels = np.rint(np.arange(-7, 8) * 127 / 7)
    codes = stored(model, pictured.converted(model, per_tensor=per == "layer"))
    assert len(codes) == 4
    for found in codes.values():
        assert np.isin(found, levels).all() and np.abs(found).max() == 127


def test_the_mean_output_of_a_changed_layer_stays(pictured: Observed) -> None:
    import tf_keras

    _, model = pictured.made(
        round_weights, {"second": {"kernels": ["depthwise", "pointwise"]}}, bits=2, per="channel"
    )
    means = []
    for each in (pictured.model, model):
        layer = each.get_layer("second")
        layer.activation = tf_keras.activations.linear
        part = tf_keras.Model(each.inputs, layer(layer.input))
        means.append(part.predict(IMAGES, verbose=0).mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(means[1], means[0], atol=2e-3)


def worded() -> Any:
    """A Dense behind an Embedding and an EinsumDense, whose kernels have no statistics."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(2)
    ids = tf_keras.Input((6,), dtype="int32", name="ids")
    words = layers.Embedding(10, 4, name="embedding")(ids)
    mixed = layers.EinsumDense("abc,cd->abd", output_shape=(None, 8), name="einsum")(words)
    mean = layers.GlobalAveragePooling1D(name="mean")(mixed)
    return tf_keras.Model(ids, layers.Dense(5, activation="softmax", name="classes")(mean))


def test_kernels_without_statistics_are_treated_plainly_and_named(tmp_path: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 10, (16, 6)).astype(np.int32)
    words, unseen = Observed(tmp_path, worded(), {"ids": ids}), {"embedding", "einsum"}
    names = (*unseen, "classes")
    answer, _ = words.made(prune, {name: {"sparsity": 0.5} for name in names}, scope="layer")
    assert {note["layer"] for note in answer["notes"]} == unseen
    assert all(found["sparsity"] >= 0.5 for found in answer["layers"].values())
    answer, _ = words.made(prune, {name: {"sparsity": 0.5} for name in names}, scope="global")
    assert (
        answer["layers"]["einsum"]["sparsity"] == 0.0 and "cannot be ranked" in answer["notes"][0]["reason"]
    )
    answer, _ = words.made(prune, {name: {"sparsity": 0.5} for name in unseen}, scope="global")
    assert 0 < answer["layers"]["einsum"]["sparsity"] < 1 and "smallest" in answer["notes"][0]["reason"]
    answer, _ = words.made(cluster, {name: {"clusters": 4, "per": "channel"} for name in names})
    assert {note["layer"] for note in answer["notes"]} == unseen
    assert all(found["distinct_per_channel"] <= 4 for found in answer["layers"].values())


@pytest.mark.slow
def test_every_kind_of_layer_is_treated_or_named(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    inputs = {
        "image": generator.normal(size=(16, 8, 8, 2)).astype(np.float32),
        "ids": generator.integers(0, 10, (16, 6)).astype(np.int32),
    }
    every = Observed(tmp_path, every_kind(), inputs)
    names = [layer.name for layer in every.model.layers if kernel_variables(layer)]
    unseen = {"lstm", "gru", "both", "embedding", "attention", "einsum", "timed", "transposed"}
    answer, _ = every.made(cluster, {name: {"clusters": 4, "per": "channel"} for name in names})
    assert {note["layer"] for note in answer["notes"]} == unseen
    assert all(found["distinct_per_channel"] <= 4 for found in answer["layers"].values())
    roles = {
        name: {"kernels": [kernel.role for kernel in kernel_variables(every.model.get_layer(name))]}
        for name in names
    }
    answer, _ = every.made(round_weights, roles, bits=3, per="channel")
    assert set(answer["layers"]) == set(names) - unseen


def test_the_same_bytes_every_time(pictured: Observed) -> None:
    files = []
    for _ in range(2):
        pictured.made(cluster, {name: {"clusters": 5, "per": "channel"} for name in NAMES})
        files.append((pictured.folder / "target.h5").read_bytes())
    assert files[0] == files[1]
