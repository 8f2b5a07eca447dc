"""Students learn from their teacher: narrower copies, other models, with labels and without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors
from edgepack.backend import rebuild
from edgepack.backend.cutting import widths
from edgepack.backend.distill import distill
from edgepack.backend.student import narrow
from edgepack.backend.training import fit
from edgepack.gate.couplings import FIXED, Couplings
from edgepack.gate.graph import Graph
from edgepack.stages.training import Training
from tests.backend.training_cases import dataset, picture_net, pictures, quiet

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net that knows `pictures`."""
    folder = tmp_path_factory.mktemp("teacher")
    model, (images, labels) = picture_net(), pictures(256)
    request = Training(epochs=12, learning_rate=0.01).request(dataset(folder, {"image": images}, labels))
    fit(model, request, {}, 0, quiet)
    rebuild.save(model, folder / "teacher.h5")
    return folder / "teacher.h5"


def run(teacher: Path, folder: Path, labels: Any, **student: Any) -> dict[str, Any]:
    images, _ = pictures(256)
    settings = Training(epochs=4, learning_rate=0.01, distill=True)
    return distill(
        source=str(teacher),
        target=str(folder / "student.h5"),
        training=settings.request(dataset(folder / "data", {"image": images}, labels), teacher=teacher),
        **{"student": None, "width": None, "keep": {}, "seed": 0, "report": quiet, **student},
    )


def agreement(one: Any, other: Any) -> float:
    images, _ = pictures(128, seed=9)
    return float(np.mean(np.argmax(one(images), axis=1) == np.argmax(other(images), axis=1)))


def test_a_narrow_student_without_labels_comes_close_to_its_teacher(teacher: Path, tmp_path: Path) -> None:
    answer = run(teacher, tmp_path, None, width=0.5)
    big, small = rebuild.load(teacher), rebuild.load(tmp_path / "student.h5")
    assert small.get_layer("first").filters == small.get_layer("second").filters == 4
    assert small.count_params() < big.count_params() / 2
    untrained = rebuild.build(narrowed(rebuild.read(teacher), 0.5))
    assert agreement(big, small) > max(0.85, agreement(big, untrained))
    assert {note["layer"] for note in answer["notes"]} >= {"first", "second", "classes"}


def test_another_model_becomes_the_student_under_the_teachers_names(teacher: Path, tmp_path: Path) -> None:
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    inputs = tf_keras.Input((8, 8, 2), name="picture")
    pooled = tf_keras.layers.GlobalAveragePooling2D()(inputs)
    hidden = tf_keras.layers.Dense(8, activation="relu")(pooled)
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(3, activation="softmax", name="kinds")(hidden))
    rebuild.save(model, tmp_path / "small.h5")
    keep = {"first": {"zeros": True, "clusters": None}}
    answer = run(teacher, tmp_path, pictures(256)[1], student=str(tmp_path / "small.h5"), keep=keep)
    small = rebuild.load(tmp_path / "student.h5")
    assert small.input_names == ["image"] and small.output_names == ["classes"]
    assert agreement(rebuild.load(teacher), small) > agreement(rebuild.load(teacher), model)
    assert any(note["layer"] == "first" and "promise" in note["reason"] for note in answer["notes"])


def test_a_student_with_other_outputs_is_refused(teacher: Path, tmp_path: Path) -> None:
    import tf_keras

    inputs = tf_keras.Input((8, 8, 2), name="image")
    outputs = tf_keras.layers.Dense(4)(tf_keras.layers.Flatten()(inputs))
    rebuild.save(tf_keras.Model(inputs, outputs), tmp_path / "wide.h5")
    with pytest.raises(errors.ModelError, match="same outputs"):
        run(teacher, tmp_path, None, student=str(tmp_path / "wide.h5"))
    with pytest.raises(errors.RecipeError, match="either"):
        run(teacher, tmp_path, None)


def narrowed(graph: Graph, width: float) -> Graph:
    return narrow(graph, width, rebuild.shapes(graph))


def test_unused_channels_can_be_taken_away_without_a_change(tmp_path: Path) -> None:
    """Slicing is right where the channels that go are silent: the narrower net computes the same."""
    model = picture_net()
    silent = np.array([1, 3, 4, 6])
    first, norm, second = (model.get_layer(name) for name in ("first", "norm", "second"))
    (kernel,) = first.get_weights()
    kernel[..., silent] = 0
    first.set_weights([kernel])
    gamma, beta, mean, variance = norm.get_weights()
    norm.set_weights([gamma, beta * 0, mean * 0, variance])
    depthwise, pointwise, bias = second.get_weights()
    pointwise[..., silent] = 0
    second.set_weights([depthwise, pointwise, bias])
    rebuild.save(model, tmp_path / "model.h5")
    small = rebuild.build(narrowed(rebuild.read(tmp_path / "model.h5"), 0.5))
    images, _ = pictures(8)
    assert small.get_layer("first").filters == 4
    np.testing.assert_allclose(small(images).numpy(), model(images).numpy(), atol=1e-6)


def test_recurrent_attention_and_concatenated_models_still_build(tmp_path: Path) -> None:
    import tf_keras
    from tf_keras import layers

    ids = tf_keras.Input((6,), dtype="int32", name="ids")
    x = layers.Embedding(10, 8, name="embedding")(ids)
    y = layers.GRU(8, return_sequences=True, name="gru")(
        layers.LSTM(8, return_sequences=True, name="lstm")(x)
    )
    z = layers.Concatenate(name="joined")([x, y])
    z = layers.Dense(6, name="hidden")(z)
    z = layers.Add(name="residual")([z, layers.MultiHeadAttention(2, 4, name="attention")(z, z)])
    model = tf_keras.Model(ids, layers.Dense(4, name="out")(layers.GlobalAveragePooling1D()(z)))
    rebuild.save(model, tmp_path / "model.h5")
    graph = rebuild.read(tmp_path / "model.h5")
    small = narrow(graph, 0.5, rebuild.shapes(graph))
    assert widths(small) == {"embedding": 4, "lstm": 4, "gru": 4, "hidden": 6, "out": 4}
    groups = Couplings(graph, rebuild.shapes(graph))
    assert groups.find(groups.opened["hidden"]) == FIXED  # added to an attention that is not narrowed
    rebuilt = rebuild.build(small)
    assert rebuilt(np.zeros((1, 6), np.int32)).shape == (1, 4)
    fresh, old = rebuilt.get_layer("lstm").get_weights(), model.get_layer("lstm").get_weights()
    assert [weight.shape for weight in fresh] == [(4, 16), (4, 16), (16,)] and old[0].shape == (8, 32)
