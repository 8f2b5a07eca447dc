"""Makes the demo's model and data: a small Keras 3 CNN trained on scikit-learn's UCI handwritten digits.

The results are committed, so nobody needs to run this; `python recipes/digits/train.py` makes them again.
The data set: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
1998, doi:10.24432/C50P49, CC BY 4.0; 1,797 images of 8 × 8 pixels with values 0 … 16.
"""

from __future__ import annotations

import os
from pathlib import Path

os.environ.pop("TF_USE_LEGACY_KERAS", None)  # this file shows a Keras 3 user's model
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from sklearn.datasets import load_digits

HERE = Path(__file__).resolve().parent
TRAINING, CALIBRATION = 1000, 200


def split() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Shuffled once with a fixed seed; evaluation never meets training or calibration."""
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = digits.images[order].astype(np.uint8)[..., None]
    labels = digits.target[order].astype(np.uint8)
    ends = [TRAINING, TRAINING + CALIBRATION]
    names = ("training", "calibration", "evaluation")
    return dict(zip(names, zip(np.split(images, ends), np.split(labels, ends), strict=True), strict=True))


def network() -> keras.Model:
    """Three convolutions and a wide Dense: enough structure for every stage to have something to do."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Conv2D(24, 3, padding="same", use_bias=False, name="conv_1"),
            layers.BatchNormalization(name="norm_1"),
            layers.ReLU(name="relu_1"),
            layers.Conv2D(48, 3, padding="same", activation="relu", name="conv_2"),
            layers.MaxPooling2D(name="pool"),
            layers.Conv2D(48, 3, padding="same", activation="relu", name="conv_3"),
            layers.Flatten(name="flatten"),
            layers.Dropout(0.4, name="dropout"),
            layers.Dense(96, activation="relu", name="dense_1"),
            layers.Dense(10, activation="softmax", name="scores"),
        ],
        name="digits",
    )


def main() -> None:
    keras.utils.set_random_seed(0)
    data = split()
    images, labels = data["training"]
    model = network()
    model.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, 30 * 32)),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(images / 16.0, labels, batch_size=32, epochs=30, verbose=2)
    held_back, truth = data["evaluation"]
    print("held-back accuracy", np.mean(model.predict(held_back / 16.0, verbose=0).argmax(-1) == truth))
    bare = network()  # without the optimizer's state, which no deployment needs
    bare.set_weights(model.get_weights())
    bare.save(HERE / "digits.keras")
    for name, (x, y) in data.items():
        np.savez_compressed(HERE / f"{name}.npz", x=x, y=y)


if __name__ == "__main__":
    main()
