"""Networks whose channels were killed in Keras, through the real converter: cut, and the same bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edgepack import exact

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected:UserWarning"),
]


def residual(layers: Any) -> Any:
    x = inputs = layers.Input((16, 16, 3), batch_size=1)
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    y = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    y = layers.BatchNormalization()(layers.Conv2D(16, 3, padding="same")(y))
    x = layers.ReLU()(layers.Add()([x, y]))
    return inputs, layers.Dense(5, activation="softmax")(layers.GlobalAveragePooling2D()(x))


def separable(layers: Any) -> Any:
    x = inputs = layers.Input((24, 24, 3), batch_size=1)
    x = layers.ReLU(6.0)(layers.Conv2D(8, 3, strides=2, padding="same")(x))
    for channels, stride in ((16, 1), (24, 2)):
        x = layers.DepthwiseConv2D(3, strides=stride, padding="same")(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
        x = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(channels, 1)(x)))
    return inputs, layers.Dense(2)(layers.Flatten()(layers.AveragePooling2D(2)(x)))


def branches(layers: Any) -> Any:
    x = inputs = layers.Input((12, 12, 4), batch_size=1)
    one = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    other = layers.Conv2D(6, 5, padding="same", activation="relu")(x)
    x = layers.Concatenate()([one, other, layers.MaxPooling2D(3, strides=1, padding="same")(one)])
    x = layers.Flatten()(layers.Conv2D(12, 3, activation="relu")(x))
    return inputs, layers.Dense(3)(layers.Dense(10, activation="relu")(x))


def sequence(layers: Any) -> Any:
    x = inputs = layers.Input((32, 4), batch_size=1)
    x = layers.MaxPooling1D(2)(layers.Conv1D(12, 5, activation="relu")(x))
    x = layers.SeparableConv1D(16, 3, padding="same", activation="relu")(x)
    x = layers.Conv1D(8, 3, dilation_rate=2, padding="same", activation="relu")(x)
    return inputs, layers.Dense(3)(layers.GlobalMaxPooling1D()(x))


def kill(model: Any, random: np.random.Generator) -> None:
    """A third of the output channels of every hidden layer lose their weights; their biases vary in sign."""
    for layer in model.layers[:-1]:
        weights = layer.get_weights()
        if not weights:
            continue
        dead = random.random(weights[-1].shape[0]) < 1 / 3
        if "normalization" in layer.name:
            weights[0][dead], weights[1][:] = 0, random.normal(0, 0.5, dead.shape)
        else:
            for kernel in weights[:-1]:
                if kernel.shape[-1] == dead.size:
                    kernel[..., dead] = 0
            weights[-1][:] = random.normal(-0.2, 0.4, dead.shape)
        layer.set_weights(weights)


def converted(model: Any, random: np.random.Generator, *, integer: bool) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if integer:
        samples = [random.normal(size=model.inputs[0].shape).astype(np.float32) for _ in range(8)]
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    data: bytes = converter.convert()
    return data


@pytest.mark.parametrize("integer", [True, False])
@pytest.mark.parametrize("build", [residual, separable, branches, sequence])
def test_killed_channels_go(build: Callable[[Any], Any], integer: bool) -> None:
    import tf_keras

    tf_keras.utils.set_random_seed(3)
    random = np.random.default_rng(3)
    model = tf_keras.Model(*build(tf_keras.layers))
    kill(model, random)
    found = exact.shrunk(converted(model, random, integer=integer))
    assert found.changed, found.reason
    assert sum(layer.removed for layer in found.layers) >= 3
    assert found.macs[1] < found.macs[0] and len(found.data) < sum(found.before.values())
