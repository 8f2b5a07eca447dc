"""Small models of every architecture that is shrunk, and the operation around them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.backend import rebuild
from edgepack.backend.fold_operation import fold
from edgepack.backend.shrink import shrink
from edgepack.backend.statistics import statistics
from tests.backend.training_cases import dataset, quiet

DEFAULTS: dict[str, Any] = {
    "mode": "structured",
    "keep": None,
    "of": "macs",
    "macs": None,
    "blocks": None,
    "align": 4,
    "importance": "fisher",
    "cost": None,
}


def chain() -> Any:
    """Convolutions one after the other, normalized, pooled, flattened."""
    from tf_keras import Input, Model, layers

    image = Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, use_bias=False, name="first")(image)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="second")(x)
    x = layers.Flatten()(layers.MaxPooling2D(2)(x))
    x = layers.Dense(12, activation="relu", name="hidden")(x)
    return Model(image, layers.Dense(3, activation="softmax", name="classes")(x))


def residual() -> Any:
    """Two residual blocks on one stream."""
    from tf_keras import Input, Model, layers

    image = Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(image)
    for number in (1, 2):
        y = layers.Conv2D(8, 3, padding="same", use_bias=False, name=f"inside{number}")(x)
        y = layers.ReLU()(layers.BatchNormalization(name=f"norm{number}")(y))
        y = layers.Conv2D(8, 3, padding="same", name=f"branch{number}")(y)
        x = layers.ReLU(name=f"out{number}")(layers.Add(name=f"add{number}")([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return Model(image, layers.Dense(3, activation="softmax", name="classes")(x))


def joined() -> Any:
    """Branches side by side, one of them gated by squeeze and excitation."""
    from tf_keras import Input, Model, layers

    image = Input((8, 8, 3), name="image")
    left = layers.Conv2D(8, 3, padding="same", activation="relu", name="left")(image)
    right = layers.Conv2D(8, 1, activation="relu", name="right")(image)
    gate = layers.Dense(8, activation="sigmoid", name="gate")(layers.GlobalAveragePooling2D()(right))
    right = layers.Multiply()([right, layers.Reshape((1, 1, 8))(gate)])
    x = layers.Concatenate()([left, right])
    x = layers.Conv2D(8, 1, activation="relu", name="mixed")(x)
    return Model(image, layers.Dense(3, name="values")(layers.GlobalMaxPooling2D()(x)))


def separable() -> Any:
    """As DS-CNN: depthwise and pointwise convolutions in turns."""
    from tf_keras import Input, Model, layers

    sound = Input((12, 6, 1), name="sound")
    x = layers.Conv2D(8, (4, 3), strides=2, padding="same", use_bias=False, name="conv")(sound)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    for number in (1, 2):
        x = layers.DepthwiseConv2D(3, padding="same", name=f"depthwise{number}")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(8, 1, name=f"pointwise{number}")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.SeparableConv2D(8, 3, activation="relu", name="both")(x)
    return Model(
        sound, layers.Dense(4, activation="softmax", name="words")(layers.GlobalAveragePooling2D()(x))
    )


def inverted() -> Any:
    """As MobileNetV2: inverted residuals with linear bottlenecks."""
    from tf_keras import Input, Model, layers

    image = Input((8, 8, 3), name="image")
    x = layers.ReLU(6.0)(layers.Conv2D(8, 3, padding="same", name="stem")(image))
    for number, (width, stride) in enumerate(((8, 1), (8, 2), (8, 1))):
        y = layers.Conv2D(16, 1, use_bias=False, name=f"expand{number}")(x)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
        y = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False, name=f"depth{number}")(y)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
        y = layers.BatchNormalization()(layers.Conv2D(width, 1, use_bias=False, name=f"project{number}")(y))
        x = layers.Add(name=f"add{number}")([x, y]) if stride == 1 else y
    x = layers.GlobalAveragePooling2D()(x)
    return Model(image, layers.Dense(5, activation="softmax", name="classes")(x))


def autoencoder() -> Any:
    """Dense layers down and up again; the output is as wide as the input."""
    from tf_keras import Input, Model, layers

    frame = Input((20,), name="frame")
    x = frame
    for name, width in (("down", 16), ("code", 8), ("up", 16)):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(width, name=name)(x)))
    return Model(frame, layers.Dense(20, name="restored")(x))


def recurrent() -> Any:
    """LSTM and GRU on steps with a Dense layer of their own."""
    from tf_keras import Input, Model, layers

    steps = Input((6, 5), name="steps")
    x = layers.Dense(8, activation="relu", name="each")(steps)
    x = layers.LSTM(8, return_sequences=True, name="long")(x)
    x = layers.GRU(8, name="gated")(x)
    return Model(steps, layers.Dense(3, activation="softmax", name="classes")(x))


def both_ways() -> Any:
    """Recurrent layers that read forwards and backwards, joined and added."""
    from tf_keras import Input, Model, layers

    steps = Input((6, 5), name="steps")
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True), name="ways")(steps)
    x = layers.Bidirectional(layers.GRU(8), merge_mode="sum", name="sums")(x)
    return Model(steps, layers.Dense(3, activation="softmax", name="classes")(x))


def shared() -> Any:
    """One convolution used twice, two inputs, two outputs."""
    from tf_keras import Input, Model, layers

    one, two = Input((8, 8, 3), name="one"), Input((8, 8, 3), name="two")
    eye = layers.Conv2D(8, 3, activation="relu", name="eye")
    seen = layers.Concatenate()([eye(one), eye(two)])
    x = layers.Conv2D(8, 3, activation="relu", name="both")(seen)
    x = layers.Flatten()(x)
    kinds = layers.Dense(3, activation="softmax", name="kinds")(
        layers.Dense(8, activation="relu", name="own")(x)
    )
    return Model([one, two], [kinds, layers.Dense(2, name="place")(x)])


ARCHITECTURES: Mapping[str, Callable[[], Any]] = {
    make.__name__: make
    for make in (chain, residual, joined, separable, inverted, autoencoder, recurrent, both_ways, shared)
}


def made(make: Callable[[], Any], seed: int = 3) -> Any:
    """A model with normalizations that are no identity."""
    import tf_keras

    tf_keras.utils.set_random_seed(seed)
    model, generator = make(), np.random.default_rng(seed)
    for layer in model.layers:
        if type(layer).__name__ == "BatchNormalization":
            shape = layer.get_weights()[0].shape
            layer.set_weights(
                [
                    generator.uniform(0.5, 1.5, shape),
                    generator.normal(0.2, 0.3, shape),
                    generator.normal(0.0, 0.3, shape),
                    generator.uniform(0.5, 2.0, shape),
                ]
            )
    return model


def inputs_of(model: Any, count: int = 256, seed: int = 7) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {
        name: generator.normal(size=(count, *tensor.shape[1:])).astype(np.float32)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    }


def outputs_of(model: Any, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    given = [inputs[name] for name in model.input_names]
    found = model(given if len(given) > 1 else given[0], training=False)
    return [np.asarray(each) for each in (found if isinstance(found, (list, tuple)) else [found])]


def shrunk(
    model: Any, folder: Path, *, training: Any = None, only: Any = None, **settings: Any
) -> tuple[Any, dict[str, Any]]:
    """The shrunk live model and the operation's answer."""
    folder.mkdir(parents=True, exist_ok=True)
    source, target = folder / "source.h5", folder / "target.h5"
    rebuild.save(model, source)
    chosen = {**DEFAULTS, **settings}
    calibration = seen = None
    if chosen["mode"] != "exact":
        calibration = dataset(folder / "calibration", inputs_of(model), None).to_json()
        fold(source=str(source), target=str(folder / "folded.h5"), report=quiet)
        seen = str(folder / "statistics.npz")
        statistics(
            source=str(folder / "folded.h5"),
            target=seen,
            calibration=calibration,
            seed=0,
            samples=256,
            report=quiet,
        )
    names = [layer.name for layer in model.layers if layer.weights] if only is None else only
    answer = shrink(
        source=str(source),
        target=str(target),
        layers={name: {} for name in names},
        settings=chosen,
        keep={},
        training=training,
        seed=0,
        report=quiet,
        statistics=seen,
        calibration=calibration,
    )
    return rebuild.load(target), answer
