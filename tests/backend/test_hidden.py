"""Hidden layers held to the teacher's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.backend import hidden, rebuild
from edgepack.backend.training import fit
from edgepack.stages.training import Training
from tests.backend.training_cases import dataset, pictures, quiet

pytestmark = pytest.mark.tensorflow


def residual(inner: int) -> Any:
    """A net with one residual block whose inner width is given; the same names whatever the width."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(inner)
    given = tf_keras.Input((8, 8, 1), name="image")
    first = layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(given)
    block = layers.Conv2D(inner, 3, padding="same", activation="relu", name="inner")(first)
    block = layers.Conv2D(4, 3, padding="same", name="outer")(block)
    joined = layers.ReLU(name="after")(layers.Add(name="add")([first, block]))
    flat = layers.Flatten(name="flat")(joined)
    return tf_keras.Model(given, layers.Dense(3, activation="softmax", name="answer")(flat))


def test_counterparts_are_where_branches_join_or_else_activations() -> None:
    import tf_keras
    from tf_keras import layers

    assert hidden.counterparts(residual(8), residual(4)) == ["after"]
    chain = [
        tf_keras.Sequential(
            [
                layers.Dense(width, name="a"),
                layers.ReLU(name="r"),
                layers.Dense(6, name="b"),
                layers.ReLU(name="s"),
                layers.Dense(2, activation="softmax", name="c"),
            ]
        )
        for width in (8, 4)
    ]
    for each in chain:
        each.build((None, 5))
    assert hidden.counterparts(*chain) == ["s"]


def test_held_layers_come_nearer_to_the_teachers(tmp_path: Path) -> None:
    images, _ = pictures(64)
    images = images[..., :1]
    teacher = residual(8)
    path = tmp_path / "teacher.h5"
    rebuild.save(teacher, path)

    def apart(weight: float) -> float:
        student = residual(4)
        settings = Training.model_validate(
            {"epochs": 4, "learning_rate": 0.01, "distill": {"alpha": 1.0, "hidden": weight}}
        )
        given = dataset(tmp_path / str(weight), {"image": images}, None)
        fit(student, settings.request(given, teacher=path), {}, 0, quiet)
        models = [hidden.exposed(each, ["after"]) for each in (teacher, student)]
        (_, theirs), (_, ours) = (each(images) for each in models)
        return float(np.mean(hidden.distance(theirs, ours)))

    assert apart(10.0) < 0.7 * apart(0.0)
