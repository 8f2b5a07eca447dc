"""The operation "joint": on any architecture, true to the original where bits are cheap, on its grid where they are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.data import Dataset
from edgepack.data.dataset import Affine

pytestmark = pytest.mark.tensorflow
COUNT = 48


def _residual(keras: Any) -> Any:
    layers = keras.layers
    read = made = layers.Input((12, 12, 3), name="x")
    made = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", use_bias=False)(made))
    made = layers.Add()([made, layers.Conv2D(8, 3, padding="same", activation="relu")(made)])
    made = layers.DepthwiseConv2D(3, strides=2, padding="same", activation="relu6")(made)
    made = layers.SeparableConv2D(12, 3, padding="same", activation="relu")(made)
    made = layers.Conv2D(12, 3, groups=2, dilation_rate=1, padding="valid")(made)
    return keras.Model(read, layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling2D()(made)))


def _shared(keras: Any) -> Any:
    layers = keras.layers
    read = layers.Input((12,), name="x")
    twice = layers.Dense(12, activation="tanh", name="twice")
    return keras.Model(read, layers.Dense(3)(twice(twice(read))))


def _sequence(keras: Any) -> Any:
    layers = keras.layers
    read = layers.Input((10, 6), name="x")
    made = layers.Conv1D(8, 3, padding="causal", activation="relu")(layers.Masking()(read))
    made = layers.LSTM(7)(layers.Dense(9)(made))
    return keras.Model(read, layers.Dense(1, activation="sigmoid")(made))


def _measured(make: Callable[[Any], Any], folder: Path) -> tuple[Any, dict[str, Any], np.ndarray[Any, Any]]:
    """The original model, the arguments of "joint" but target, layers and per, and the samples."""
    import tf_keras

    from edgepack.backend import rebuild
    from edgepack.backend.fold_operation import fold
    from edgepack.backend.statistics import statistics

    tf_keras.utils.set_random_seed(0)
    model = make(tf_keras)
    samples = np.random.default_rng(0).normal(size=(COUNT, *model.input_shape[1:])).astype(np.float32)
    np.save(folder / "x.npy", samples)
    plain = Affine(scale=1.0, offset=0.0, dtype="float32")
    data = Dataset(
        inputs={"x": folder / "x.npy"}, labels={}, preprocess={"x": plain}, count=COUNT, sha256="0" * 64
    )
    rebuild.save(model, folder / "model.h5")
    fold(source=str(folder / "model.h5"), target=str(folder / "folded.h5"), report=_silent)
    given = {
        "source": str(folder / "folded.h5"),
        "calibration": data.to_json(),
        "seed": 0,
        "report": _silent,
    }
    statistics(**given, target=str(folder / "statistics.npz"), samples=COUNT)
    return model, {**given, "statistics": str(folder / "statistics.npz")}, samples


def _silent(text: str, fraction: float | None) -> None: ...


def _layers(path: str, price: float) -> dict[str, dict[str, float]]:
    from edgepack.numerics import layer_statistics

    found: dict[str, dict[str, float]] = {}
    for layer, role in layer_statistics.read(Path(path)):
        found.setdefault(layer, {})[role] = price
    return found


@pytest.mark.parametrize("make", [_residual, _shared, _sequence])
def test_at_a_low_price_the_model_stays_and_at_a_high_one_little_is_left(
    make: Callable[[Any], Any], tmp_path: Path
) -> None:
    from edgepack.backend import rebuild
    from edgepack.backend.joint import joint

    model, given, samples = _measured(make, tmp_path)
    wanted, far = model.predict(samples, verbose=0), {}
    for price in (1e-12, 1e-2):
        target = tmp_path / f"{price}.h5"
        layers = _layers(given["statistics"], price)
        answer = joint(**given, target=str(target), layers=layers, per="tensor")
        assert answer["layers"].keys() == layers.keys()
        far[price] = float(np.abs(rebuild.load(target).predict(samples, verbose=0) - wanted).mean())
        distinct = [
            kernel["distinct"] for each in answer["layers"].values() for kernel in each["kernels"].values()
        ]
        assert max(distinct) <= 255
    assert far[1e-12] < 0.05 * float(wanted.std() + 0.1)
    assert far[1e-12] <= far[1e-2]
    assert max(distinct) < 60


def test_the_same_file_every_time_and_what_is_not_named_stays(tmp_path: Path) -> None:
    from edgepack.backend import rebuild
    from edgepack.backend.joint import joint

    _, given, _ = _measured(_shared, tmp_path)
    layers = {"twice": {"kernel": 1e-4}}
    for name in ("one", "other"):
        joint(**given, target=str(tmp_path / f"{name}.h5"), layers=layers, per="channel")
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "other.h5").read_bytes()
    before, after = (rebuild.read(Path(path)) for path in (given["source"], tmp_path / "one.h5"))
    (untouched,) = [name for name, layer in before.layers.items() if layer.weights and name != "twice"]
    assert all(
        np.array_equal(a, b)
        for a, b in zip(before.layers[untouched].weights, after.layers[untouched].weights, strict=True)
    )
