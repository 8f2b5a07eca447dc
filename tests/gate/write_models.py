"""Writes one model of each kind with the Keras of this process: ``python write_models.py FOLDER``.

Run as a program by test_originals.py, once with Keras 3 and once with TF_USE_LEGACY_KERAS=1 (tf_keras). Beside each
model lies ``<case>.npz`` with inputs (by name) and what the original answers (outputs in order).
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

LEGACY = os.environ.get("TF_USE_LEGACY_KERAS") == "1"
if LEGACY:
    import tf_keras as keras
else:
    import keras

layers = keras.layers
Model = Any
CASES: dict[str, Callable[[], Model]] = {}


def case(build: Callable[[], Model]) -> Callable[[], Model]:
    CASES[build.__name__] = build
    return build


@case
def plain() -> Model:
    return keras.Sequential(
        [
            keras.Input((10, 10, 1), name="my image"),
            layers.Rescaling(1 / 255.0),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.SeparableConv2D(5, 3, padding="same"),
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.Conv2DTranspose(3, 2, strides=2),
            layers.RandomFlip(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(4, activation="tanh"),
        ]
    )


@case
def built_by_data() -> Model:
    model = keras.Sequential([layers.Conv2D(3, 3), layers.Flatten(), layers.Dense(2, use_bias=False)])
    model(np.zeros((1, 8, 8, 2), "float32"))
    return model


@case
def nested_sequential() -> Model:
    inner = keras.Sequential(
        [keras.Input((8, 8, 2)), layers.Conv2D(3, 3), layers.BatchNormalization()], name="inner"
    )
    middle = keras.Sequential(
        [keras.Input((8, 8, 2)), inner, layers.ReLU(), layers.Conv2D(2, 1)], name="middle"
    )
    return keras.Sequential([keras.Input((8, 8, 2)), middle, layers.Flatten(), layers.Dense(3)])


@case
def frozen_part() -> Model:
    body = keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(3, 3),
            layers.BatchNormalization(),
            layers.Conv2D(3, 3),
            layers.BatchNormalization(),
        ],
        name="body",
    )
    body.layers[1].trainable = False
    body.layers[2].trainable = False
    frozen = keras.Sequential(
        [keras.Input((8,)), layers.Dense(8), layers.BatchNormalization()], name="frozen"
    )
    frozen.trainable = False
    inputs = keras.Input((8, 8, 2))
    x = layers.GlobalAveragePooling2D()(body(inputs, training=False))
    return keras.Model(inputs, layers.Dense(2)(frozen(layers.Dense(8)(x))))


@case
def shared_model_two_inputs() -> Model:
    inputs = keras.Input((8, 4))
    x = layers.Conv1D(5, 3, name="conv")(inputs)
    encoder = keras.Model(
        inputs, [layers.GlobalMaxPooling1D()(x), layers.Dense(3)(layers.Flatten()(x))], name="encoder"
    )
    a, b = keras.Input((8, 4), name="a"), keras.Input((8, 4), name="b")
    first, second = encoder(a), encoder(b)
    joined = layers.Concatenate()([first[0], second[1], layers.Multiply()([first[1], second[1]])])
    again = encoder(layers.Reshape((8, 4))(layers.Dense(32)(joined)))
    return keras.Model([a, b], [again[1], layers.Dense(2, name="second")(joined)])


@case
def named_inputs_and_outputs() -> Model:
    a, b = keras.Input((4,), name="zebra"), keras.Input((4,), name="ant")
    both = layers.Subtract()([a, b])
    return keras.Model({"zebra": a, "ant": b}, {"yes": layers.Dense(2)(both), "no": layers.Dense(3)(both)})


@case
def shared_layer() -> Model:
    dense = layers.Dense(4, activation="tanh", name="shared")
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Add()([dense(inputs), dense(dense(inputs))]))


@case
def recurrent() -> Model:
    inputs = keras.Input((6, 4))
    x = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(inputs)
    x = layers.TimeDistributed(layers.Dense(5, activation="relu"))(x)
    x = layers.LayerNormalization()(x)
    x, state = layers.GRU(4, return_sequences=True, return_state=True)(x)
    x = layers.SimpleRNN(4)(x, initial_state=state)
    return keras.Model(inputs, layers.Bidirectional(layers.GRU(2))(layers.RepeatVector(3)(x)))


@case
def masked_sequence() -> Model:
    inputs = keras.Input((6, 4))
    x = layers.Dropout(0.1)(layers.Masking(0.0)(inputs))
    x = layers.LSTM(3, return_sequences=True)(x)
    return keras.Model(inputs, layers.LSTM(3)(x))


@case
def masked_ids() -> Model:
    inputs = keras.Input((6,), dtype="int32", name="ids")
    x = layers.Embedding(10, 4, mask_zero=True)(inputs)
    return keras.Model(inputs, layers.Dense(2)(layers.Bidirectional(layers.LSTM(3))(x)))


@case
def attention() -> Model:
    inputs = keras.Input((5, 8))
    x = layers.MultiHeadAttention(2, 3)(inputs, inputs)
    x = layers.LayerNormalization(epsilon=1e-6)(layers.Add()([x, inputs]))
    return keras.Model(inputs, layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d")(x))


@case
def operations() -> Model:
    inputs = keras.Input((6, 4))
    x = inputs[:, 1:] * 2.0 + 1.0
    y = (1.0 - x) / 3.0
    return keras.Model(inputs, layers.Concatenate()([x, y, x - y]))


@case
def normalized() -> Model:
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(1).normal(3.0, 2.0, (50, 4)).astype("float32"))
    return keras.Sequential(
        [keras.Input((4,)), normalization, layers.Dense(3), layers.PReLU(), layers.Dense(2)]
    )


@case
def layer_in_two_models() -> Model:
    dense = layers.Dense(4, name="both")
    first = keras.Sequential([keras.Input((4,)), dense, layers.ReLU()], name="first")
    second = keras.Sequential([keras.Input((4,)), dense, layers.Dense(4)], name="second")
    inputs = keras.Input((4,))
    return keras.Model(inputs, second(first(inputs)))


def example_inputs(model: Model) -> Iterator[tuple[str, np.ndarray]]:
    random = np.random.default_rng(7)
    for tensor in model.inputs:
        shape = (5, *tensor.shape[1:])
        if "int" in str(getattr(tensor.dtype, "name", tensor.dtype)):
            yield tensor.name, random.integers(0, 10, shape).astype("int32")
        else:
            values = random.normal(size=shape).astype("float32")
            if len(shape) == 3:
                values[1, -2:] = 0.0  # rows that a Masking layer skips
            yield tensor.name, values


def spread(seed: int, weight: np.ndarray) -> np.ndarray:
    """Weights that differ everywhere, biases and statistics too; positive, so that they can be variances."""
    values = np.random.default_rng(seed).normal(0.1, 0.15, weight.shape)
    return np.abs(values).astype(weight.dtype)


def main(folder: Path) -> None:
    keras.utils.set_random_seed(3)
    for name, build in CASES.items():
        model = build()
        if name != "normalized":  # whose statistics are frozen by adapt()
            model.set_weights([spread(number, weight) for number, weight in enumerate(model.get_weights())])
        arrays = dict(example_inputs(model))
        values = [arrays[tensor.name] for tensor in model.inputs]
        if name == "named_inputs_and_outputs":
            outputs = model(
                {tensor.name.split(":")[0]: array for tensor, array in zip(model.inputs, values, strict=True)}
            )
            outputs = [outputs[key] for key in sorted(outputs)]
        else:
            outputs = model(values[0] if len(values) == 1 else values)
        flat = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        np.savez(
            folder / f"{name}.npz",
            **{f"in{number}": array for number, array in enumerate(values)},
            **{f"out{number}": np.asarray(array) for number, array in enumerate(flat)},
        )
        model.compile("adam", "mse")
        for suffix in (".keras", ".h5"):
            model.save(folder / f"{name}{suffix}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
