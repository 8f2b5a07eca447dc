"""A network of a known family with random weights; run as a child: made_network.py NAME SIDE CLASSES TARGET.h5.

Prints one JSON line: its parameters and its weighted layers.
"""

from __future__ import annotations

import json
import sys

import tensorflow as tf


def network(name: str, side: int, classes: int) -> tf.keras.Model:
    """MobileNet (v1) or MobileNetV2 of a width, such as "mobilenet-0.5"."""
    family, width = name.rsplit("-", 1)
    make = {"mobilenet": tf.keras.applications.MobileNet, "mobilenetv2": tf.keras.applications.MobileNetV2}[
        family
    ]
    return make(input_shape=(side, side, 3), alpha=float(width), weights=None, classes=classes)


def main(name: str, side: str, classes: str, target: str) -> None:
    tf.keras.utils.set_random_seed(0)
    model = network(name, int(side), int(classes))
    model.save(target)
    weighted = sum(
        1 for layer in model.layers if layer.weights and "Normalization" not in type(layer).__name__
    )
    print(json.dumps({"parameters": model.count_params(), "layers": weighted}))


if __name__ == "__main__":
    main(*sys.argv[1:])
