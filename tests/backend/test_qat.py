"""Quantization-aware training: promises hold in the exported file, the ranges learned reach it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors, tflite
from edgepack.backend import learned_ranges, qat, rebuild
from edgepack.backend.convert import convert
from edgepack.backend.finetune import finetune
from edgepack.gate import facts, read
from edgepack.numerics import clustering, sparsity
from edgepack.stages.training import Training
from tests.backend.training_cases import dataset, pictures, quiet

pytestmark = pytest.mark.tensorflow


def _net() -> Any:
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(3)
    image = tf_keras.Input((8, 8, 2), name="image")
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="first")(image)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="depthwise")(x)
    x = layers.SeparableConv2D(8, 3, padding="same", activation="relu", name="separable")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(12, activation="relu", name="hidden")(x)
    return tf_keras.Model(image, layers.Dense(3, activation="softmax", name="classes")(x))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Any]:
    """The folder of a trained candidate whose layers were promised zeros, clusters and both; the answer; the model."""
    folder, model = tmp_path_factory.mktemp("qat"), _net()
    first, *_ = model.get_layer("first").get_weights()
    model.get_layer("first").set_weights([np.where(sparsity.fraction_mask(first, 0.5), first, 0.0)])
    hidden, bias = model.get_layer("hidden").get_weights()
    model.get_layer("hidden").set_weights([clustering.cluster(hidden, 4, channel_axes=(1,)), bias])
    both, rest = model.get_layer("depthwise").get_weights()
    both = np.where(sparsity.fraction_mask(both, 0.4), both, 0.0)
    both = clustering.cluster(both, 4, channel_axes=(2, 3), preserve_zeros=True)
    model.get_layer("depthwise").set_weights([both, rest])
    images, labels = pictures()
    rebuild.save(model, folder / "source.h5")
    answer = finetune(
        source=str(folder / "source.h5"),
        target=str(folder / "target.h5"),
        keep={
            "first": {"zeros": True, "clusters": None},
            "hidden": {"zeros": False, "clusters": "channel"},
            "depthwise": {"zeros": True, "clusters": "channel"},
        },
        training=Training(epochs=2, learning_rate=0.01, distill=True).request(
            dataset(folder / "data", {"image": images}, labels), teacher=folder / "source.h5"
        ),
        seed=0,
        quantization_aware=True,
        report=quiet,
    )
    return folder, answer, model


def _exported(candidate: Path, folder: Path) -> Any:
    calibration = dataset(folder / "calibration", {"image": pictures()[0][:32]}, None)
    convert(
        source=str(candidate),
        target=str(folder / "m.tflite"),
        scheme="int8",
        calibration=calibration.to_json(),
        report=quiet,
    )
    return tflite.read(folder / "m.tflite")


def test_zeros_and_clusters_survive_into_the_tflite(
    tuned: tuple[Path, dict[str, Any], Any], tmp_path: Path
) -> None:
    folder, answer, before = tuned
    said = {note["layer"]: note["reason"] for note in answer["notes"]}
    assert said[""].startswith("PCQAT: int8 emulated in") and "split it into two" in said["separable"]
    after = rebuild.load(folder / "target.h5")
    assert not np.array_equal(*(m.get_layer("hidden").get_weights()[0] for m in (before, after)))
    exported = _exported(folder / "target.h5", tmp_path)
    layers = {layer.name: layer for layer in facts.layer_facts(read(folder / "target.h5"))}
    found = {
        name: tflite.invariants.locate(layers[name], layers[name].kernels[0], exported)[0]
        for name in ("first", "hidden", "depthwise")
    }
    assert found["first"].zeros >= found["first"].stored.size // 2
    assert found["hidden"].most_distinct <= 4
    assert found["depthwise"].most_distinct <= 4
    assert found["depthwise"].zeros >= 0.4 * found["depthwise"].stored.size - 1


def test_the_learned_ranges_are_those_of_the_tflite(
    tuned: tuple[Path, dict[str, Any], Any], tmp_path: Path
) -> None:
    ranges = learned_ranges.stored(tuned[0] / "target.h5")
    assert {"image", "relu", "depthwise", "hidden", "classes"} <= set(ranges)
    candidate = tmp_path / "candidate.h5"
    shutil.copyfile(tuned[0] / "target.h5", candidate)
    learned_ranges.store(candidate, {**ranges, "hidden": (0.0, 51.0)})
    scales = {
        tensor.name: float(tensor.quantization.scale[0])
        for tensor in _exported(candidate, tmp_path).main.tensors
        if tensor.constant is None and tensor.quantization is not None
    }
    low, high = ranges["image"]
    assert next(scale for name, scale in scales.items() if "/hidden/" in name) == pytest.approx(0.2)
    assert scales["serving_default_image:0"] == pytest.approx((high - low) / 255.0, rel=1e-5)


def test_a_model_without_a_layer_to_emulate_is_refused() -> None:
    import tf_keras
    from tf_keras import layers

    sequence = tf_keras.Input((6, 4), name="sequence")
    model = tf_keras.Model(sequence, layers.LSTM(3, name="memory")(sequence))
    with pytest.raises(errors.ModelError, match=r"memory: .*cannot emulate int8 in a LSTM layer"):
        qat.emulation(model)


def test_one_dimensional_convolutions_are_emulated_and_shared_layers_left() -> None:
    import tf_keras
    from tf_keras import layers

    sequence = tf_keras.Input((8, 3), name="sequence")
    shared = layers.Dense(4, name="shared")
    x = layers.BatchNormalization(name="norm")(layers.Conv1D(4, 3, name="conv")(sequence))
    model = tf_keras.Model(sequence, layers.Dense(2, name="values")(shared(shared(x))))
    emulated = qat.emulation(model)
    assert emulated.emulated == ("conv", "values")
    assert [note["layer"] for note in emulated.notes] == ["shared"]
    ranges = emulated.finish()
    assert {"sequence", "conv", "values"} <= set(ranges)
    for layer in emulated.model.layers:
        for variable, weight in zip(emulated.weights(layer.name), layer.get_weights(), strict=True):
            np.testing.assert_array_equal(variable.numpy(), weight)
