"""Factorization by what it costs the loss, on live models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import gate
from edgepack.data import Affine, Dataset

pytestmark = pytest.mark.tensorflow
CHOICE = {
    "method": "kfac",
    "goal": "keep",
    "value": 0.5,
    "keep_macs": None,
    "form": "auto",
    "min_saving": 0.05,
}


def quiet(text: str, fraction: float | None = None) -> None:
    """A report that nobody reads."""


def network() -> Any:
    """Residual, strided, separable, Dense on vectors: weights of low rank and noise, so that ranks matter."""
    import tf_keras as keras

    layers = keras.layers
    x = keras.Input((12, 12, 4), name="x")
    y = layers.Conv2D(16, 3, padding="same", use_bias=False, name="first")(x)
    y = layers.ReLU()(layers.BatchNormalization(name="norm")(y))
    z = layers.Conv2D(16, 3, padding="same", activation="relu", name="inner")(y)
    y = layers.Add()([y, z])
    y = layers.Conv2D(24, 3, strides=2, padding="same", activation="relu", name="strided")(y)
    y = layers.SeparableConv2D(32, 3, activation="relu", name="separable")(y)
    y = layers.Dense(48, activation="relu", name="wide")(layers.GlobalAveragePooling2D()(y))
    model = keras.Model(x, layers.Dense(5, activation="softmax", name="scores")(y))
    random = np.random.default_rng(0)
    model.set_weights(
        [
            np.abs(w) + 0.5 if w.ndim == 1 and "norm" in v.name else w + random.normal(0, 0.05, w.shape)
            for w, v in zip(model.get_weights(), model.weights, strict=True)
        ]
    )
    return model


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with the folded candidate and its statistics, and the calibration data."""
    from edgepack.backend import rebuild
    from edgepack.backend.fold_operation import fold
    from edgepack.backend.statistics import statistics

    folder = tmp_path_factory.mktemp("kfac")
    random = np.random.default_rng(1)
    smooth = random.normal(size=(160, 3, 3, 4)).repeat(4, axis=1).repeat(4, axis=2)
    np.save(folder / "x.npy", (smooth + 0.1 * random.normal(size=smooth.shape)).astype(np.float32))
    data = Dataset(
        inputs={"x": folder / "x.npy"}, labels={}, preprocess={"x": Affine()}, count=160, sha256="0" * 64
    ).to_json()
    rebuild.save(network(), folder / "whole.h5")
    folded = fold(source=str(folder / "whole.h5"), target=str(folder / "folded.h5"), report=quiet)
    assert folded == {"folded": ["norm"], "biases": []} or folded["biases"] == []
    statistics(
        source=str(folder / "folded.h5"),
        target=str(folder / "statistics.npz"),
        calibration=data,
        seed=0,
        samples=1024,
        report=quiet,
    )
    return folder, data


WANTED = ("first", "inner", "strided", "separable", "wide")


def run(prepared: tuple[Path, dict[str, Any]], name: str, **choice: Any) -> dict[str, Any]:
    from edgepack.backend.factorize import factorize

    folder, data = prepared
    return factorize(
        source=str(folder / "folded.h5"),
        target=str(folder / f"{name}.h5"),
        layers={layer: {} for layer in WANTED},
        keep={},
        training=None,
        seed=0,
        report=quiet,
        choice={**CHOICE, **choice},
        statistics=str(folder / "statistics.npz"),
        calibration=data,
    )


def divergence(folder: Path, name: str) -> float:
    """Mean KL divergence of a candidate's predictions from the original's, on samples of its own."""
    from edgepack.backend import rebuild

    random = np.random.default_rng(2)
    smooth = random.normal(size=(400, 3, 3, 4)).repeat(4, axis=1).repeat(4, axis=2)
    rows = (smooth + 0.1 * random.normal(size=smooth.shape)).astype(np.float32)
    p, q = (rebuild.load(folder / f"{each}.h5").predict(rows, verbose=0) for each in ("whole", name))
    return float(np.mean(np.sum(p * (np.log(p + 1e-9) - np.log(q + 1e-9)), axis=-1)))


def weights_of(folder: Path, name: str) -> int:
    facts = gate.layer_facts(gate.read(folder / f"{name}.h5"))
    return sum(
        int(kernel.array.size)
        for each in facts
        for kernel in each.kernels
        if kernel.role != "depthwise" and each.name != "scores"
    )


def test_one_budget_for_the_model_and_nearer_to_it_than_plain(prepared) -> None:
    folder, _ = prepared
    found = run(prepared, "kfac")
    run(prepared, "svd", method="svd")
    whole = weights_of(folder, "folded")
    assert weights_of(folder, "kfac") <= 0.5 * whole and weights_of(folder, "svd") <= 0.5 * whole
    assert divergence(folder, "kfac") < 0.5 * divergence(folder, "svd")
    left = {note["layer"] for note in found["notes"]}
    assert left | set(found["layers"]) == set(WANTED) and not left & set(found["layers"])
    for layer, values in found["layers"].items():
        assert values["ranks"] == {f"{layer}_reduce": values["rank"]} and values["expected_loss"] >= 0


def macs_of(folder: Path, name: str) -> float:
    """Multiply-adds of what may be factorized, by the sizes of the maps in `network`."""
    sides = {"first": 144, "inner": 144, "strided": 36, "separable": 16, "wide": 1}
    facts = gate.layer_facts(gate.read(folder / f"{name}.h5"))
    return sum(
        kernel.array.size * sides[each.name.partition("_")[0]]
        for each in facts
        for kernel in each.kernels
        if kernel.role != "depthwise" and each.name != "scores"
    )


def test_multiply_adds_can_be_the_budget_alone_or_beside_weights(prepared) -> None:
    folder, _ = prepared
    weights, macs = weights_of(folder, "folded"), macs_of(folder, "folded")
    run(prepared, "work", value=1.0, keep_macs=0.6)
    assert 0.4 * macs <= macs_of(folder, "work") <= 0.6 * macs
    run(prepared, "both", value=0.6, keep_macs=0.6)
    assert macs_of(folder, "both") <= 0.6 * macs and weights_of(folder, "both") <= 0.6 * weights


def test_the_same_twice(prepared) -> None:
    folder, _ = prepared
    run(prepared, "one")
    run(prepared, "two")
    assert (folder / "one.h5").read_bytes() == (folder / "two.h5").read_bytes()


@pytest.mark.parametrize(
    ("goal", "value"), [("energy", 0.999), ("ratio", 0.6), ("rank", 6), ("max_error", 0.1)]
)
def test_goals_for_single_layers(prepared, goal, value) -> None:
    folder, _ = prepared
    found = run(prepared, goal, goal=goal, value=value)
    assert found["layers"], found["notes"]
    if goal == "rank":
        assert all(values["rank"] == 6 for values in found["layers"].values())
    if goal == "ratio":
        by_name = {each.name: each for each in gate.layer_facts(gate.read(folder / "folded.h5"))}
        for layer, values in found["layers"].items():
            kernels = by_name[layer].kernels
            biases = by_name[layer].parameters - sum(int(kernel.array.size) for kernel in kernels)
            rest = biases + sum(int(k.array.size) for k in kernels if k.role == "depthwise")
            assert values["parameters"] - rest <= 0.6 * (values["parameters_before"] - rest)
    assert all("saves" in note["reason"] for note in found["notes"])


def test_nearly_all_of_the_energy_is_nearly_the_model(prepared) -> None:
    folder, _ = prepared
    run(prepared, "fine", goal="energy", value=1 - 1e-7, min_saving=0.0)
    assert divergence(folder, "fine") < 1e-3


def test_made_up_inputs_do(prepared) -> None:
    folder, _ = prepared
    found = run((folder, None), "blind")  # type: ignore[arg-type]
    assert found["layers"]


def test_layers_without_statistics_stay(prepared) -> None:
    from edgepack.numerics import layer_statistics

    folder, _ = prepared
    known = dict(layer_statistics.read(folder / "statistics.npz"))
    (folder / "fewer").mkdir(exist_ok=True)
    known.pop(("inner", "kernel"))
    layer_statistics.write(folder / "fewer" / "statistics.npz", known)
    (folder / "fewer" / "folded.h5").write_bytes((folder / "folded.h5").read_bytes())
    found = run((folder / "fewer", prepared[1]), "kfac")
    notes = {note["layer"]: note["reason"] for note in found["notes"]}
    assert notes["inner"] == "it has no layer statistics"
