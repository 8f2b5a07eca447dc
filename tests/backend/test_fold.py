"""BatchNormalization folded away: same outputs, same names, fewer layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.tensorflow

IMAGE, STEPS, VOLUME, VECTOR = (8, 7, 4), (9, 4), (5, 6, 7, 2), (6,)
CASES: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("Conv1D", STEPS, {"filters": 5, "kernel_size": 3, "use_bias": False}),
    ("Conv2D", IMAGE, {"filters": 6, "kernel_size": 3, "strides": 2, "groups": 2, "padding": "same"}),
    ("Conv3D", VOLUME, {"filters": 3, "kernel_size": 2}),
    ("Conv1DTranspose", STEPS, {"filters": 5, "kernel_size": 3, "strides": 2}),
    ("Conv2DTranspose", IMAGE, {"filters": 5, "kernel_size": 3, "use_bias": False}),
    ("Conv3DTranspose", VOLUME, {"filters": 3, "kernel_size": 2}),
    ("Dense", VECTOR, {"units": 5}),
    ("Dense", STEPS, {"units": 5, "use_bias": False}),
    ("DepthwiseConv1D", STEPS, {"kernel_size": 3, "depth_multiplier": 2}),
    ("DepthwiseConv2D", IMAGE, {"kernel_size": 3, "depth_multiplier": 3, "use_bias": False}),
    ("SeparableConv1D", STEPS, {"filters": 5, "kernel_size": 3}),
    ("SeparableConv2D", IMAGE, {"filters": 5, "kernel_size": 3, "use_bias": False}),
]


def shaken(model: Any, seed: int = 0) -> Any:
    random = np.random.default_rng(seed)
    model.set_weights(
        [np.abs(w + random.normal(0, 0.4, w.shape)).astype("float32") + 0.1 for w in model.get_weights()]
    )
    return model


def folded_outputs(model: Any, shape: tuple[int, ...]) -> tuple[Any, np.ndarray, np.ndarray]:
    from edgepack.backend.fold import fold_batch_normalization

    new = fold_batch_normalization(model)
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype("float32")
    return new, np.asarray(model(x)), np.asarray(new(x))


@pytest.mark.parametrize(
    ("kind", "shape", "settings"), CASES, ids=[f"{case[0]}-{len(case[1])}" for case in CASES]
)
def test_outputs_stay(kind: str, shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    import tf_keras as keras

    x = keras.Input(shape)
    y = keras.layers.BatchNormalization(name="bn")(
        getattr(keras.layers, kind)(name="weighted", **settings)(x)
    )
    model = shaken(keras.Model(x, keras.layers.ReLU(name="end")(y)))
    new, before, after = folded_outputs(model, shape)
    assert np.max(np.abs(before - after)) <= 1e-5 * np.max(np.abs(before))
    assert [layer.name for layer in new.layers[1:]] == ["weighted", "end"]


def _activated(keras: Any, x: Any) -> Any:
    return keras.layers.BatchNormalization(name="bn")(keras.layers.Dense(4, activation="relu")(x))


def _two_readers(keras: Any, x: Any) -> Any:
    y = keras.layers.Dense(4)(x)
    return keras.layers.Add()([keras.layers.BatchNormalization(name="bn")(y), y])


def _shared(keras: Any, x: Any) -> Any:
    dense = keras.layers.Dense(6)
    return keras.layers.BatchNormalization(name="bn")(dense(dense(x)))


@pytest.mark.parametrize("build", [_activated, _two_readers, _shared])
def test_what_may_not_be_folded_stays(build: Callable[[Any, Any], Any]) -> None:
    import tf_keras as keras

    x = keras.Input(VECTOR)
    model = shaken(keras.Model(x, build(keras, x)))
    new, before, after = folded_outputs(model, VECTOR)
    np.testing.assert_array_equal(before, after)
    assert "bn" in [layer.name for layer in new.layers]


def test_a_folded_output_keeps_its_name() -> None:
    import tf_keras as keras

    x = keras.Input(VECTOR)
    y = keras.layers.BatchNormalization(name="score", scale=False)(keras.layers.Dense(4, name="dense")(x))
    new, before, after = folded_outputs(shaken(keras.Model(x, y)), VECTOR)
    assert list(new.output_names) == ["score"]
    assert type(new.get_layer("score")).__name__ == "Activation"
    np.testing.assert_allclose(before, after, rtol=1e-5, atol=1e-5)
