"""Layer statistics against numpy, and against what can be derived on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.data import Affine, Dataset
from edgepack.numerics import layer_statistics
from edgepack.numerics.layer_statistics import DOUBT, LayerStatistics
from edgepack.numerics.obs_sweep import Curvature
from edgepack.numerics.second_order import loss_increase

pytestmark = pytest.mark.tensorflow
RANDOM = np.random.default_rng(3)


def dataset(folder: Path, **arrays: np.ndarray) -> Dataset:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return Dataset(
        inputs={name: folder / f"{name}.npy" for name in arrays},
        labels={},
        preprocess={
            name: Affine(dtype="float32" if array.dtype.kind == "f" else str(array.dtype))
            for name, array in arrays.items()
        },
        count=len(next(iter(arrays.values()))),
        sha256="0" * 64,
    )


def measured(
    folder: Path, model: Any, data: Dataset | None, samples: int = 1024
) -> tuple[dict[tuple[str, str], LayerStatistics], dict[str, Any]]:
    from edgepack.backend import rebuild
    from edgepack.backend.statistics import statistics

    rebuild.save(model, folder / "model.h5")
    answer = statistics(
        source=str(folder / "model.h5"),
        target=str(folder / "statistics.npz"),
        calibration=None if data is None else data.to_json(),
        seed=1,
        samples=samples,
        report=lambda text, fraction: None,
    )
    return dict(layer_statistics.read(folder / "statistics.npz")), answer


def test_dense_moments_are_numpys(tmp_path) -> None:
    import tf_keras as keras

    x = keras.Input((5,), name="x")
    model = keras.Model(x, keras.layers.Dense(3, activation="softmax", name="d")(x))
    rows = (1000 + 5 * RANDOM.normal(size=(200, 5)) @ RANDOM.normal(size=(5, 5))).astype(np.float32)
    found, answer = measured(tmp_path, model, dataset(tmp_path, x=rows))
    seen = found["d", "kernel"]
    np.testing.assert_allclose(seen.mean[0], rows.mean(0), rtol=1e-6)
    wanted = np.cov(rows.astype(np.float64).T, bias=True)
    np.testing.assert_allclose(seen.covariance[0], wanted, rtol=1e-3, atol=1e-3 * np.trace(wanted) / 5)
    assert (seen.positions, seen.samples, seen.layout) == (1.0, 200, "whole")
    assert answer["notes"] == [] and answer["samples"] == 200


def test_softmax_regression_has_its_gradient_in_closed_form(tmp_path) -> None:
    import tf_keras as keras

    x = keras.Input((4,), name="x")
    model = keras.Model(x, keras.layers.Dense(3, activation="softmax", name="d")(x))
    model.set_weights([RANDOM.normal(size=(4, 3)), RANDOM.normal(size=3)])
    rows = RANDOM.normal(size=(1024, 4)).astype(np.float32)
    p = (1.0 - DOUBT) * model.predict(rows, verbose=0).astype(np.float64) + DOUBT / 3.0
    wanted = (np.einsum("nk,kl->nkl", p, np.eye(3)) - p[:, :, None] * p[:, None, :]).mean(0)
    found, _ = measured(tmp_path, model, dataset(tmp_path, x=rows))
    np.testing.assert_allclose(found["d", "kernel"].gradient[0], wanted, atol=0.02)


def test_the_gradient_of_a_hidden_layer_is_that_of_the_chain_rule(tmp_path) -> None:
    import tf_keras as keras

    x = keras.Input((3,), name="x")
    hidden = keras.layers.Dense(4, activation="relu", name="h")(x)
    model = keras.Model(x, keras.layers.Dense(2, name="y")(hidden))
    rows = RANDOM.normal(size=(256, 3)).astype(np.float32)
    found, _ = measured(tmp_path, model, dataset(tmp_path, x=rows))
    kernel, bias = model.get_layer("h").get_weights()
    alive = (rows @ kernel + bias > 0).astype(np.float64)
    after = model.get_layer("y").get_weights()[0].astype(np.float64)
    wanted = (alive[:, :, None] * alive[:, None, :]).mean(0) * (after @ after.T)
    np.testing.assert_allclose(found["h", "kernel"].gradient[0], wanted, atol=0.15 * np.abs(wanted).max())
    np.testing.assert_allclose(found["y", "kernel"].gradient[0], np.eye(2), atol=0.1)


def test_sigmoid_outputs_are_bernoulli(tmp_path) -> None:
    import tf_keras as keras

    x = keras.Input((2,), name="x")
    model = keras.Model(x, keras.layers.Dense(1, activation="sigmoid", name="d")(x))
    rows = RANDOM.normal(size=(128, 2)).astype(np.float32)
    p = (1.0 - DOUBT) * model.predict(rows, verbose=0).astype(np.float64) + DOUBT / 2.0
    found, _ = measured(tmp_path, model, dataset(tmp_path, x=rows))
    assert found["d", "kernel"].gradient[0, 0, 0] == pytest.approx(float((p * (1 - p)).mean()), rel=1e-4)


CONVOLUTIONS: list[tuple[str, dict[str, Any]]] = [
    ("Conv2D", {"filters": 4, "kernel_size": (3, 2), "padding": "same", "strides": 2}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "valid", "dilation_rate": 2}),
    ("Conv2D", {"filters": 4, "kernel_size": 3, "groups": 2, "padding": "same"}),
    ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2, "padding": "same"}),
    ("Conv1D", {"filters": 3, "kernel_size": 3, "padding": "causal", "dilation_rate": 2}),
    ("DepthwiseConv1D", {"kernel_size": 3, "padding": "same", "strides": 2}),
    ("SeparableConv2D", {"filters": 3, "kernel_size": 3, "padding": "same", "depth_multiplier": 2}),
    ("Dense", {"units": 3}),
]


@pytest.mark.parametrize(
    ("kind", "settings"), CONVOLUTIONS, ids=[f"{i}{c[0]}" for i, c in enumerate(CONVOLUTIONS)]
)
def test_moments_explain_the_outputs(kind: str, settings: dict[str, Any], tmp_path) -> None:
    """Mean and covariance of the outputs follow from those of the inputs, whatever the geometry."""
    import tf_keras as keras

    shape = (9, 4) if kind.endswith("1D") else (7, 6, 4)
    x = keras.Input(shape, name="x")
    layer = getattr(keras.layers, kind)(name="w", **settings)
    model = keras.Model(x, keras.layers.Flatten()(layer(x)))
    rows = (2 + RANDOM.normal(size=(64, *shape))).astype(np.float32)
    found, _ = measured(tmp_path, model, dataset(tmp_path, x=rows))
    y = keras.Model(x, layer(x)).predict(rows, verbose=0).astype(np.float64)
    y = y.reshape(-1, y.shape[-1]) - layer.get_weights()[-1]
    role = {"De": "kernel", "Co": "kernel"}.get(kind[:2], "pointwise")
    role = "depthwise" if kind.startswith("Depthwise") else role
    seen = found["w", role]
    weights = seen.unfold(layer.get_weights()[1 if role == "pointwise" else 0])
    mean = np.einsum("gdn,gd->gn", weights, seen.mean).ravel()
    np.testing.assert_allclose(mean, y.mean(0), atol=2e-3)
    variance = np.einsum("gdn,gde,gen->gn", weights, seen.covariance, weights).ravel()
    np.testing.assert_allclose(variance, y.var(0), rtol=2e-3)
    assert seen.positions == len(y) / 64
    np.testing.assert_allclose(np.einsum("gnn->gn", seen.gradient), 1.0, atol=1e-4)


def test_shared_layers_sum_their_calls_and_outputs_add_up(tmp_path) -> None:
    import tf_keras as keras

    first, second = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    shared = keras.layers.Dense(2, name="s")
    ends = [keras.layers.Dense(1, name="p")(shared(first)), keras.layers.Dense(1, name="q")(shared(second))]
    rows = {name: RANDOM.normal(size=(100, 3)).astype(np.float32) for name in "ab"}
    found, _ = measured(tmp_path, keras.Model([first, second], ends), dataset(tmp_path, **rows))
    both = np.concatenate(list(rows.values()))
    assert found["s", "kernel"].positions == 2.0
    np.testing.assert_allclose(found["s", "kernel"].mean[0], both.mean(0), atol=1e-5)
    assert found["p", "kernel"].gradient[0, 0, 0] == pytest.approx(1.0)


def test_long_patches_fall_into_blocks_and_say_so(tmp_path, monkeypatch) -> None:
    import tf_keras as keras

    from edgepack.backend import statistics_sums

    monkeypatch.setattr(statistics_sums, "LONGEST", 20)
    x = keras.Input((6, 6, 4), name="x")
    model = keras.Model(x, keras.layers.Conv2D(3, 3, name="c")(x))
    rows = RANDOM.normal(size=(64, 6, 6, 4)).astype(np.float32)
    found, answer = measured(tmp_path, model, dataset(tmp_path, x=rows))
    seen = found["c", "kernel"]
    assert (seen.layout, seen.covariance.shape, seen.gradient.shape) == ("blocks", (4, 9, 9), (1, 3, 3))
    assert seen.coherence.shape == (1, 3) and (seen.coherence > 0).all()
    assert "independent" in answer["notes"][0]["reason"]
    kernel = model.get_layer("c").get_weights()[0]
    np.testing.assert_allclose(seen.fold(seen.unfold(kernel), kernel.shape), kernel)


def test_made_up_inputs_are_called_unverified_and_ids_stay_in_their_table(tmp_path) -> None:
    import tf_keras as keras

    ids = keras.Input((5,), name="ids", dtype="int32")
    y = keras.layers.Flatten()(keras.layers.Embedding(7, 3, name="e")(ids))
    model = keras.Model(ids, keras.layers.Dense(2, activation="softmax", name="d")(y))
    found, answer = measured(tmp_path, model, None)
    reasons = {note["layer"]: note["reason"] for note in answer["notes"]}
    assert "unverified" in reasons[""] and "Embedding" in reasons["e"]
    assert found["d", "kernel"].samples == 256


def test_unreached_layers_have_none(tmp_path) -> None:
    import tensorflow as tf
    import tf_keras as keras

    x = keras.Input((4,), name="x")
    hidden = keras.layers.Dense(4, name="h")(x)
    model = keras.Model(x, keras.layers.Dense(2, name="y")(tf.stop_gradient(hidden)))
    found, answer = measured(tmp_path, model, dataset(tmp_path, x=np.ones((8, 4), np.float32)))
    assert ("h", "kernel") not in found and ("y", "kernel") in found
    assert "no gradient" in answer["notes"][0]["reason"]


def test_same_inputs_same_bytes(tmp_path) -> None:
    import tf_keras as keras

    x = keras.Input((8, 8, 2), name="x")
    y = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3, name="c")(x))
    model = keras.Model(x, keras.layers.Dense(2, activation="softmax", name="d")(y))
    data = dataset(tmp_path, x=RANDOM.normal(size=(70, 8, 8, 2)).astype(np.float32))
    measured(tmp_path, model, data)
    first = (tmp_path / "statistics.npz").read_bytes()
    measured(tmp_path, model, data)
    assert (tmp_path / "statistics.npz").read_bytes() == first


@pytest.mark.parametrize("alike", [False, True], ids=["independent", "alike"])
def test_coherence_tells_whether_positions_add_up(alike: bool, tmp_path) -> None:
    """Before a global average every position has the same gradient: what they read decides."""
    import tf_keras as keras

    x = keras.Input((16, 3), name="x")
    mixed = keras.layers.Conv1D(2, 1, name="w")(x)
    model = keras.Model(x, keras.layers.GlobalAveragePooling1D()(mixed))
    rows = RANDOM.normal(size=(256, 1 if alike else 16, 3)) @ RANDOM.normal(size=(3, 3))
    found, _ = measured(
        tmp_path, model, dataset(tmp_path, x=np.tile(rows, (1, 16 if alike else 1, 1)).astype(np.float32))
    )
    seen = found["w", "kernel"]
    assert seen.coherence.shape == (1, 2)
    assert seen.coherence == pytest.approx(16.0 if alike else 1.0, rel=0.25)
    assert np.diagonal(seen.sensitivity[0]) == pytest.approx(
        np.diagonal(seen.gradient[0]) * seen.coherence[0]
    )


def test_coherence_makes_the_price_of_a_change_the_one_it_has(tmp_path) -> None:
    """White noise on the kernel of a linear model: the loss rises by what the statistics say."""
    import tf_keras as keras

    x = keras.Input((6, 6, 2), name="x")
    y = keras.layers.DepthwiseConv2D(3, name="w")(x)
    y = keras.layers.Dense(3, name="d")(keras.layers.GlobalAveragePooling2D()(y))
    model = keras.Model(x, y)
    smooth = RANDOM.normal(size=(256, 1, 1, 2)) + 0.3 * RANDOM.normal(size=(256, 6, 6, 2))
    rows = smooth.astype(np.float32)
    found, _ = measured(tmp_path, model, dataset(tmp_path, x=rows))
    seen = found["w", "depthwise"]
    before, layer = model.predict(rows, verbose=0), model.get_layer("w")
    kernel, bias = layer.get_weights()
    rises, told = [], []
    curvature = Curvature.of(seen)
    for _ in range(50):
        noise = np.empty((2, 9, 1))
        noise[:, curvature.order] = curvature.factor.transpose(0, 2, 1) @ RANDOM.normal(size=(2, 9, 1))
        change = seen.fold(noise, kernel.shape)
        layer.set_weights([kernel + change, bias - np.einsum("gdn,gd->g", noise, seen.mean)])
        rises.append(0.5 * np.square(model.predict(rows, verbose=0) - before).sum(1).mean())
        told.append(loss_increase(change, seen))
    assert np.mean(told) == pytest.approx(np.mean(rises), rel=0.25)
    assert seen.coherence.min() > 2.0  # one of nine directions is the same everywhere
