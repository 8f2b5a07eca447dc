"""A network that plain int8 ruins although it computes what it computed before, as recipes for the scoreboard.

    python -m tests.benchmarks.ruined FOLDER --models SHARED_MODELS
    python -m tests.benchmarks scoreboard --recipe FOLDER/stretched.toml --rows float,ptq,edgepack-ptq

A small depthwise-separable CNN is trained on handwritten digits. Then every channel between two layers is multiplied by
a factor of 1/100 … 100 and divided by it again in the next layer: the float answers stay, but one int8 scale must now
serve channels that differ by 10,000 times.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import os
from pathlib import Path
from typing import Any, Final

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy as np

RECIPE: Final = """
edgepack = 1
name = "{name}"
version = "1"
[model]
path = "{model}"
[data.calibration]
path = "calibration.npz"
inputs = "x"
[data.evaluation]
path = "evaluation.npz"
inputs = "x"
labels = "y"
[metric]
name = "top1"
{quantize}
[budget]
max_drop = 0.01
"""
CALIBRATION, TRAINED_TO = 200, 8_000
WIDTHS: Final = ((24, 1), (32, 2), (32, 1))
SPREAD: Final = 100.0


def network() -> Any:
    """MobileNet in small: a stem and three depthwise-separable blocks, each with BatchNormalization and ReLU."""
    import tf_keras
    from tf_keras import layers

    def block(tensor: Any, layer: Any, name: str) -> Any:
        normal = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")
        return layers.ReLU()(normal(layer(tensor)))

    image = tf_keras.Input((28, 28, 1), name="image")
    stem = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False, name="stem")
    x = block(image, stem, "stem")
    for number, (width, stride) in enumerate(WIDTHS):
        depthwise = layers.DepthwiseConv2D(
            3, strides=stride, padding="same", use_bias=False, name=f"depthwise_{number}"
        )
        x = block(x, depthwise, f"depthwise_{number}")
        pointwise = layers.Conv2D(width, 1, use_bias=False, name=f"pointwise_{number}")
        x = block(x, pointwise, f"pointwise_{number}")
    x = layers.Dense(32, activation="relu", name="hidden")(layers.GlobalAveragePooling2D()(x))
    return tf_keras.Model(image, layers.Dense(10, activation="softmax", name="digit")(x))


def stretch(model: Any, seed: int = 0) -> None:
    """Multiplies each channel behind a normalization by its factor, and divides the next kernel by it."""
    random = np.random.default_rng(seed)
    kernels = [layer.name for layer in model.layers if "Conv2D" in type(layer).__name__]
    for name, following in itertools.pairwise(kernels):
        normal, after = model.get_layer(f"{name}_norm"), model.get_layer(following)
        gamma, beta, *moving = normal.get_weights()
        factors = np.exp(random.uniform(-np.log(SPREAD), np.log(SPREAD), len(gamma))).astype(np.float32)
        normal.set_weights([gamma * factors, beta * factors, *moving])
        kernel, *rest = after.get_weights()
        after.set_weights([kernel / factors.reshape((1, 1, -1, 1)), *rest])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=Path, required=True)
    arguments = parser.parse_args()
    import tf_keras

    folder, source = arguments.folder, arguments.models / "mnist_cnn_keras3"
    folder.mkdir(parents=True, exist_ok=True)
    raw = gzip.decompress((source / "t10k-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28, 1).astype(np.float32) / 255.0
    raw = gzip.decompress((source / "t10k-labels-idx1-ubyte.gz").read_bytes())
    labels = np.frombuffer(raw, np.uint8, offset=8).astype(np.int64)
    np.savez(folder / "calibration.npz", x=images[:CALIBRATION])
    np.savez(folder / "evaluation.npz", x=images[TRAINED_TO:], y=labels[TRAINED_TO:])
    tf_keras.utils.set_random_seed(1)
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy")
    rows = slice(CALIBRATION, TRAINED_TO)
    model.fit(images[rows], labels[rows], epochs=4, batch_size=64, verbose=0)
    model.save(folder / "sound.h5")
    stretch(model)
    model.save(folder / "stretched.h5")
    for name, file, quantize in (
        ("sound", "sound.h5", ""),
        ("stretched", "stretched.h5", ""),
        ("stretched_per_tensor", "stretched.h5", '[quantize]\nweights = "tensor"'),
    ):
        (folder / f"{name}.toml").write_text(RECIPE.format(name=name, model=file, quantize=quantize))


if __name__ == "__main__":
    main()
