"""Tiny models and data for the tests of everything that trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.data import Dataset
from edgepack.data.dataset import Affine


def quiet(text: str, fraction: float | None = None) -> None:
    """A report that nobody reads."""


def dataset(
    folder: Path, inputs: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray] | np.ndarray | None
) -> Dataset:
    """Arrays as a Dataset; labels alone are those of the metric's output."""
    folder.mkdir(parents=True, exist_ok=True)
    named = {} if labels is None else labels if isinstance(labels, Mapping) else {"": labels}
    paths: dict[str, dict[str, Path]] = {"inputs": {}, "labels": {}}
    for group, arrays in (("inputs", inputs), ("labels", named)):
        for number, (name, array) in enumerate(arrays.items()):
            paths[group][name] = folder / f"{group}{number}.npy"
            np.save(paths[group][name], array)
    kinds = {
        name: "float32" if array.dtype.kind == "f" else array.dtype.name for name, array in inputs.items()
    }
    return Dataset(
        inputs=paths["inputs"],
        labels=paths["labels"],
        preprocess={name: Affine(dtype=kind) for name, kind in kinds.items()},
        count=len(next(iter(inputs.values()))),
        sha256="0",
    )


def pictures(count: int = 96, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of 8×8×2 whose class, 0 … 2, is how many of their two channels are bright."""
    generator = np.random.default_rng(seed)
    bright = generator.integers(0, 2, size=(count, 2))
    noise = generator.normal(0.0, 0.5, size=(count, 8, 8, 2))
    return (noise + bright[:, None, None, :]).astype(np.float32), bright.sum(axis=1).astype(np.int64)


def picture_net(width: int = 8, seed: int = 1) -> Any:
    """Conv, BatchNormalization, SeparableConv, an addition and a Dense softmax over `pictures`."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(seed)
    image = tf_keras.Input((8, 8, 2), name="image")
    first = layers.Conv2D(width, 3, padding="same", use_bias=False, name="first")(image)
    first = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(first))
    second = layers.SeparableConv2D(width, 3, padding="same", activation="relu", name="second")(first)
    added = layers.Add(name="added")([first, second])
    flat = layers.Flatten(name="flat")(layers.MaxPooling2D(4, name="pool")(added))
    return tf_keras.Model(image, layers.Dense(3, activation="softmax", name="classes")(flat))


def every_kind() -> Any:
    """One model with every kind of layer that has kernels; inputs "image" and "ids"."""
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(2)
    image, ids = tf_keras.Input((8, 8, 2), name="image"), tf_keras.Input((6,), dtype="int32", name="ids")
    x = layers.Conv2D(4, 3, name="conv")(image)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.SeparableConv2D(4, 3, name="separable")(x)
    x = layers.Flatten(name="flat")(layers.Conv2DTranspose(2, 2, name="transposed")(x))
    y = layers.Embedding(10, 4, name="embedding")(ids)
    y = layers.Conv1D(4, 3, padding="same", name="conv1d")(y)
    y = layers.MultiHeadAttention(2, 2, name="attention")(y, y)
    y = layers.EinsumDense("abc,cd->abd", output_shape=(None, 4), name="einsum")(y)
    y = layers.TimeDistributed(layers.Dense(4), name="timed")(y)
    y = layers.Bidirectional(layers.LSTM(3, return_sequences=True), name="both")(y)
    y = layers.LSTM(4, name="lstm")(layers.GRU(4, return_sequences=True, name="gru")(y))
    both = layers.Concatenate(name="joined")([x, y])
    return tf_keras.Model([image, ids], layers.Dense(3, activation="softmax", name="classes")(both))
