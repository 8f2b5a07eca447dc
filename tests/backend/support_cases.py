"""One tiny model per layer, activation and operation: what the support table says was tried.

Run as a script in a process of one Keras generation, it writes each model with its outputs:

    python support_cases.py keras3|keras2 FOLDER
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Build = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Case:
    """A model to write: `build(keras, inputs)` returns the outputs.

    Attributes:
      group, name: row of the support table.
      shapes: of the inputs, without batch.
      build: called with the Keras module and the input tensor (or list of tensors).
      generations: which Kerases have it.
      values: how inputs are drawn: "normal", "ids" (0 … 9), "image" (0 … 255), "padded" (steps of zeros at the end).
      dtype: of the inputs.
    """

    group: str
    name: str
    shapes: tuple[tuple[int | None, ...], ...]
    build: Build
    generations: tuple[str, ...] = ("keras3", "keras2")
    values: str = "normal"
    dtype: str = "float32"


VECTOR, STEPS, IMAGE, VOLUME = (6,), (7, 4), (8, 9, 4), (5, 6, 7, 2)
BOTH, NEW, OLD = ("keras3", "keras2"), ("keras3",), ("keras2",)


def layer(group: str, name: str, shape: tuple[int | None, ...], *args: Any, note: str = "", only: Any = BOTH,
          values: str = "normal", dtype: str = "float32", **settings: Any) -> Case:  # fmt: skip
    """A case of one layer applied to one input."""
    return Case(group, f"{name}{f' ({note})' if note else ''}", (shape,),
                lambda keras, x: getattr(keras.layers, name)(*args, **settings)(x), only, values, dtype)  # fmt: skip


def merge(name: str, *, shapes: Any = (IMAGE, IMAGE), note: str = "", **settings: Any) -> Case:
    return Case("Merging", f"{name}{f' ({note})' if note else ''}", shapes,
                lambda keras, x: getattr(keras.layers, name)(**settings)(x))  # fmt: skip


def _layers() -> list[Case]:
    conv = "Convolution and dense"
    cases = [
        layer(conv, "Dense", VECTOR, 5, activation="relu"),
        layer(conv, "Dense", STEPS, 5, use_bias=False, note="on steps"),
        layer(conv, "EinsumDense", STEPS, "abc,cd->abd", output_shape=(None, 5), bias_axes="d"),
        layer(conv, "Embedding", (7,), 10, 3, values="ids"),
        layer(conv, "Embedding", (7,), 10, 3, values="ids", dtype="int32", note="int32 ids"),
        layer(conv, "Conv1D", STEPS, 5, 3, padding="causal", dilation_rate=2, note="causal, dilated"),
        layer(conv, "Conv1D", STEPS, 6, 3, strides=2, groups=2, padding="same", note="strides, groups"),
        layer(conv, "Conv2D", IMAGE, 5, (3, 2), strides=2, padding="same", activation="relu"),
        layer(conv, "Conv2D", IMAGE, 6, 3, groups=2, dilation_rate=2, note="groups, dilation"),
        layer(conv, "Conv3D", VOLUME, 3, 2, strides=(1, 2, 1)),
        layer(conv, "Conv1DTranspose", STEPS, 5, 3, strides=2, padding="same"),
        layer(conv, "Conv1DTranspose", STEPS, 5, 4, strides=3, note="valid"),
        layer(conv, "Conv2DTranspose", IMAGE, 5, 3, strides=2, padding="same"),
        layer(conv, "Conv2DTranspose", IMAGE, 5, (3, 2), strides=(2, 3), padding="valid", note="valid"),
        layer(
            conv,
            "Conv2DTranspose",
            IMAGE,
            5,
            3,
            strides=2,
            padding="same",
            output_padding=1,
            note="output_padding",
        ),
        layer(conv, "Conv3DTranspose", VOLUME, 3, 2, strides=2),
        layer(conv, "DepthwiseConv1D", STEPS, 3, depth_multiplier=2),
        layer(conv, "DepthwiseConv2D", IMAGE, 3, depth_multiplier=2, padding="same", activation="relu6"),
        layer(conv, "DepthwiseConv2D", IMAGE, 3, strides=2, use_bias=False, note="strides"),
        layer(conv, "SeparableConv1D", STEPS, 5, 3, depth_multiplier=2),
        layer(conv, "SeparableConv2D", IMAGE, 5, 3, padding="same", activation="relu"),
        layer(conv, "LocallyConnected1D", STEPS, 5, 3, only=OLD),
        layer(conv, "LocallyConnected2D", IMAGE, 5, 3, only=OLD),
    ]
    pool = "Pooling"
    for kind in ("Max", "Average"):
        cases += [
            layer(pool, f"{kind}Pooling1D", STEPS, 2, strides=1, padding="same"),
            layer(pool, f"{kind}Pooling2D", IMAGE, (3, 2), strides=2, padding="same"),
            layer(pool, f"{kind}Pooling3D", VOLUME, 2),
            layer(pool, f"Global{kind}Pooling1D", STEPS),
            layer(pool, f"Global{kind}Pooling2D", IMAGE, keepdims=True),
            layer(pool, f"Global{kind}Pooling3D", VOLUME),
        ]
    norm = "Normalization"
    cases += [
        layer(norm, "BatchNormalization", IMAGE),
        layer(norm, "BatchNormalization", IMAGE, axis=2, scale=False, note="axis, no scale"),
        layer(norm, "LayerNormalization", STEPS),
        layer(norm, "LayerNormalization", IMAGE, axis=[1, 2], epsilon=1e-6, note="axes"),
        layer(norm, "GroupNormalization", IMAGE, groups=2),
        layer(norm, "UnitNormalization", STEPS),
        layer(norm, "RMSNormalization", STEPS, only=NEW),
    ]
    shape = "Shape"
    cases += [
        layer(shape, "Flatten", IMAGE),
        layer(shape, "Reshape", IMAGE, (6, -1)),
        layer(shape, "Permute", IMAGE, (2, 3, 1)),
        layer(shape, "RepeatVector", VECTOR, 3),
        layer(shape, "Cropping1D", STEPS, (1, 2)),
        layer(shape, "Cropping2D", IMAGE, ((1, 2), (0, 3))),
        layer(shape, "Cropping3D", VOLUME, 1),
        layer(shape, "ZeroPadding1D", STEPS, (2, 1)),
        layer(shape, "ZeroPadding2D", IMAGE, ((0, 1), (2, 1))),
        layer(shape, "ZeroPadding3D", VOLUME, 1),
        layer(shape, "UpSampling1D", STEPS, 3),
        layer(shape, "UpSampling2D", IMAGE, (2, 3)),
        layer(shape, "UpSampling2D", IMAGE, 2, interpolation="bilinear", note="bilinear"),
        layer(shape, "UpSampling3D", VOLUME, 2),
        layer(shape, "Identity", VECTOR),
    ]
    act = "Activation layers"
    cases += [
        layer(act, "ReLU", IMAGE, max_value=1.0, negative_slope=0.1, threshold=0.2),
        layer(act, "ELU", IMAGE, alpha=0.7),
        layer(act, "PReLU", IMAGE, shared_axes=[1, 2]),
        layer(act, "Softmax", IMAGE, axis=2),
        layer(act, "LeakyReLU", IMAGE, only=NEW, negative_slope=0.12),
        layer(act, "LeakyReLU", IMAGE, only=OLD, alpha=0.12),
        layer(act, "ThresholdedReLU", IMAGE, only=OLD, theta=0.4),
    ]
    train = "Training only (identity when predicting)"
    cases += [
        layer(train, "Dropout", IMAGE, 0.5),
        layer(train, "SpatialDropout1D", STEPS, 0.5),
        layer(train, "SpatialDropout2D", IMAGE, 0.5),
        layer(train, "SpatialDropout3D", VOLUME, 0.5),
        layer(train, "AlphaDropout", VECTOR, 0.5),
        layer(train, "GaussianDropout", VECTOR, 0.5),
        layer(train, "GaussianNoise", VECTOR, 0.5),
        layer(train, "ActivityRegularization", VECTOR, l2=0.1),
        layer(train, "RandomFlip", IMAGE, values="image"),
        layer(train, "RandomRotation", IMAGE, 0.2, values="image"),
        layer(train, "RandomZoom", IMAGE, 0.2, values="image"),
        layer(train, "RandomContrast", IMAGE, 0.2, values="image"),
        layer(train, "RandomBrightness", IMAGE, 0.2, values="image"),
        layer(train, "RandomTranslation", IMAGE, 0.2, 0.2, values="image"),
    ]
    pre = "Preprocessing"
    cases += [
        layer(pre, "Rescaling", IMAGE, 1 / 127.5, offset=-1.0, values="image"),
        layer(pre, "Rescaling", IMAGE, [0.1, 0.2, 0.3, 0.4], offset=[1.0, 2.0, 3.0, 4.0], note="per channel"),
        layer(pre, "Normalization", IMAGE, mean=[0.1, 0.2, 0.3, 0.4], variance=[1.0, 2.0, 3.0, 4.0]),
        Case(pre, "Normalization (adapted)", (IMAGE,), _adapted),
        layer(pre, "Resizing", IMAGE, 5, 7, values="image"),
        layer(pre, "Resizing", IMAGE, 16, 12, interpolation="nearest", note="nearest"),
        layer(pre, "Resizing", IMAGE, 6, 6, crop_to_aspect_ratio=True, note="crop_to_aspect_ratio"),
        layer(pre, "CenterCrop", IMAGE, 4, 5, values="image"),
        layer(pre, "Discretization", VECTOR, bin_boundaries=[-1.0, 0.0, 0.5]),
        layer(pre, "CategoryEncoding", (3,), num_tokens=10, output_mode="multi_hot", values="ids", dtype="int32"),
        layer(pre, "CategoryEncoding", (1,), num_tokens=10, output_mode="one_hot", values="ids", dtype="int32",
              note="one_hot"),
    ]  # fmt: skip
    return cases


def _adapted(keras: Any, x: Any) -> Any:
    import numpy as np

    normalization = keras.layers.Normalization()
    normalization.adapt(np.random.default_rng(3).normal(2.0, 3.0, (50, *x.shape[1:])).astype("float32"))
    return normalization(x)


def _recurrent() -> list[Case]:
    group = "Recurrent"
    cases = [
        layer(group, "LSTM", STEPS, 5),
        layer(group, "LSTM", STEPS, 5, return_sequences=True, go_backwards=True, use_bias=False, note="backwards, no bias"),
        layer(group, "LSTM", STEPS, 5, recurrent_activation="hard_sigmoid", note="hard_sigmoid gates"),
        layer(group, "LSTM", STEPS, 5, activation="relu", unroll=True, note="relu, unrolled"),
        layer(group, "GRU", STEPS, 5, return_sequences=True),
        layer(group, "GRU", STEPS, 5, reset_after=False, recurrent_activation="hard_sigmoid", note="reset before"),
        layer(group, "GRU", STEPS, 5, activation="hard_sigmoid", note="hard_sigmoid"),
        layer(group, "SimpleRNN", STEPS, 5, return_sequences=True),
        layer(group, "SimpleRNN", STEPS, 5, activation="hard_sigmoid", note="hard_sigmoid"),
        layer(group, "ConvLSTM1D", (4, 6, 2), 3, 3, padding="same"),
        layer(group, "ConvLSTM2D", (3, 6, 5, 2), 3, 3, recurrent_activation="hard_sigmoid", return_sequences=True),
        Case(group, "LSTM (return_state)", (STEPS,), lambda keras, x: keras.layers.LSTM(5, return_state=True)(x)),
        Case(group, "LSTM (initial_state)", (STEPS, (5,), (5,)),
             lambda keras, x: keras.layers.LSTM(5)(x[0], initial_state=[x[1], x[2]])),
        Case(group, "GRU (encoder to decoder)", (STEPS, STEPS), _encoder_decoder),
        Case(group, "RNN (LSTMCell)", (STEPS,), lambda keras, x: keras.layers.RNN(keras.layers.LSTMCell(5))(x)),
        Case(group, "RNN (stacked GRUCell, SimpleRNNCell)", (STEPS,), lambda keras, x: keras.layers.RNN(
            [keras.layers.GRUCell(5), keras.layers.SimpleRNNCell(4)], return_sequences=True)(x)),
        Case(group, "Masking, LSTM", (STEPS,),
             lambda keras, x: keras.layers.LSTM(5, return_sequences=True)(keras.layers.Masking()(x)), BOTH, "padded"),
        Case(group, "Masking, GRU, Dense, GRU", (STEPS,), lambda keras, x: keras.layers.GRU(3)(keras.layers.Dense(
            4, activation="hard_sigmoid")(keras.layers.GRU(5, return_sequences=True)(keras.layers.Masking()(x)))),
            BOTH, "padded"),
        Case(group, "Embedding (mask_zero), Bidirectional LSTM", ((7,),), lambda keras, x: keras.layers.Bidirectional(
            keras.layers.LSTM(4))(keras.layers.Embedding(10, 3, mask_zero=True)(x)), BOTH, "ids"),
        Case(group, "Embedding (mask_zero), Concatenate, Attention, pooling", ((7,),), _masks, BOTH, "ids"),
        Case(group, "TimeDistributed (Dense)", (STEPS,),
             lambda keras, x: keras.layers.TimeDistributed(keras.layers.Dense(3, activation="hard_sigmoid"))(x)),
        Case(group, "TimeDistributed (Conv2D)", ((3, 6, 5, 2),),
             lambda keras, x: keras.layers.TimeDistributed(keras.layers.Conv2D(3, 3))(x)),
    ]  # fmt: skip
    for mode in ("concat", "sum", "mul", "ave"):
        cases.append(Case(group, f"Bidirectional ({mode})", (STEPS,), lambda keras, x, mode=mode: keras.layers.Bidirectional(
            keras.layers.GRU(4, return_sequences=True, recurrent_activation="hard_sigmoid"), merge_mode=mode,
        )(x)))  # fmt: skip
    return cases


def _masks(keras: Any, x: Any) -> Any:
    joined = keras.layers.Concatenate()([
        keras.layers.Embedding(10, 4, mask_zero=True)(x), keras.layers.Embedding(10, 3, mask_zero=True)(x)
    ])  # fmt: skip
    steps = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))(joined)
    attended = keras.layers.MultiHeadAttention(2, 3)(steps, keras.layers.Attention()([steps, steps]))
    return [keras.layers.GlobalAveragePooling1D()(steps), keras.layers.GlobalMaxPooling1D()(attended)]


def _encoder_decoder(keras: Any, x: Any) -> Any:
    _, state = keras.layers.GRU(5, return_state=True)(x[0])
    return keras.layers.GRU(5, return_sequences=True)(x[1], initial_state=state)


def _merging() -> list[Case]:
    cases = [
        merge(name)
        for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
    ]
    cases += [
        merge("Add", shapes=(IMAGE, IMAGE, IMAGE), note="three"),
        merge("Concatenate", shapes=(IMAGE, IMAGE), axis=1, note="axis 1"),
        merge("Dot", shapes=(STEPS, STEPS), axes=2),
        merge("Dot", shapes=(VECTOR, VECTOR), axes=1, normalize=True, note="normalize"),
    ]
    group = "Attention"
    return [
        *cases,
        Case(group, "Attention", (STEPS, STEPS), lambda keras, x: keras.layers.Attention(use_scale=True)([x[0], x[1]])),
        Case(group, "Attention (concat)", (STEPS, STEPS),
             lambda keras, x: keras.layers.Attention(score_mode="concat")([x[0], x[1]])),
        Case(group, "AdditiveAttention", (STEPS, STEPS), lambda keras, x: keras.layers.AdditiveAttention()([x[0], x[1]])),
        Case(group, "MultiHeadAttention", (STEPS, (5, 4)),
             lambda keras, x: keras.layers.MultiHeadAttention(2, 3, value_dim=5)(x[0], x[1])),
        Case(group, "MultiHeadAttention (self, causal)", (STEPS,),
             lambda keras, x: keras.layers.MultiHeadAttention(2, 3, output_shape=6)(x, x, use_causal_mask=True)),
    ]  # fmt: skip


ACTIVATIONS = {
    BOTH: "elu exponential gelu hard_sigmoid leaky_relu linear log_softmax mish relu relu6 selu sigmoid silu softmax "
    "softplus softsign swish tanh",
    NEW: "celu glu hard_shrink hard_silu hard_swish hard_tanh log_sigmoid soft_shrink sparse_plus sparse_sigmoid squareplus "
    "tanh_shrink",
}


def _activations() -> list[Case]:
    cases = []
    for generations, names in ACTIVATIONS.items():
        for name in names.split():
            cases.append(Case("Activations", name, (VECTOR,),
                              lambda keras, x, name=name: keras.layers.Dense(8, activation=name)(x),
                              generations))  # fmt: skip
    return [
        *cases,
        Case("Activations", "LeakyReLU as activation", (VECTOR,), lambda keras, x: keras.layers.Dense(
            8, activation=keras.layers.LeakyReLU(0.07))(x)),
        Case("Activations", "Activation layer, hard_sigmoid", (VECTOR,), lambda keras, x: keras.layers.Activation(
            "hard_sigmoid")(x)),
    ]  # fmt: skip


def _operations() -> list[Case]:
    from support_operations import OPERATIONS_2, OPERATIONS_3

    cases = [Case("Operations (keras.ops)", name, shapes, lambda keras, x, build=build: build(keras.ops, x), NEW, values)
             for name, shapes, build, values in OPERATIONS_3]  # fmt: skip
    return cases + [Case("Operations (TensorFlow)", name, shapes, lambda keras, x, build=build: build(_tensorflow(), x),
                         OLD, values)
                    for name, shapes, build, values in OPERATIONS_2]  # fmt: skip


def _tensorflow() -> Any:
    import tensorflow

    return tensorflow


def _structures() -> list[Case]:
    group = "Structure"

    def nested(keras: Any, x: Any) -> Any:
        inner_input = keras.Input(IMAGE)
        inner = keras.Model(inner_input, keras.layers.Conv2D(4, 3, padding="same")(inner_input), name="inner")
        outer_input = keras.Input(IMAGE)
        outer = keras.Model(outer_input, keras.layers.ReLU()(inner(outer_input)), name="outer")
        return keras.layers.Add()([outer(x), outer(keras.layers.ReLU()(x))])

    def sequential(keras: Any, x: Any) -> Any:
        body = keras.Sequential(
            [keras.layers.Conv2D(4, 3, padding="same", activation="relu"), keras.layers.Flatten()]
        )
        return keras.layers.Dense(3)(body(x))

    def shared(keras: Any, x: Any) -> Any:
        dense = keras.layers.Dense(6, activation="hard_sigmoid")
        return keras.layers.Subtract()([dense(x), dense(dense(x))])

    def outputs(keras: Any, x: Any) -> Any:
        trunk = keras.layers.Dense(5, activation="relu")(x[0])
        return [keras.layers.Dense(3, name="left", activation="hard_sigmoid")(trunk),
                keras.layers.Dense(2, name="right")(keras.layers.Concatenate()([trunk, x[1]]))]  # fmt: skip

    def each_step(keras: Any, x: Any) -> Any:
        layers = keras.layers
        frame = keras.Input(IMAGE)
        wide = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(frame))
        joined = layers.Concatenate(axis=1)([layers.Add()([wide, frame]), frame])
        inner = keras.Model(
            frame, layers.GlobalAveragePooling2D()(layers.Softmax(axis=-1)(joined)), name="frames"
        )
        return layers.TimeDistributed(inner, name="each")(x)

    def frames(keras: Any, x: Any) -> Any:
        layers = keras.layers
        inner = keras.Sequential([
            layers.Conv2D(4, 3, activation="relu"), layers.BatchNormalization(), layers.MaxPooling2D(),
            layers.Dropout(0.2), layers.Flatten(), layers.Dense(5, activation="hard_sigmoid"),
        ])  # fmt: skip
        return layers.Dense(3)(layers.LSTM(6)(layers.TimeDistributed(inner)(x)))

    def sentences(keras: Any, x: Any) -> Any:
        words = keras.Input((5,))
        inner = keras.Model(words, keras.layers.GRU(4)(keras.layers.Embedding(10, 3, mask_zero=True)(words)))
        return keras.layers.LSTM(3)(keras.layers.TimeDistributed(inner)(x))

    def padded_steps(keras: Any, x: Any) -> Any:
        inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
        return keras.layers.LSTM(3)(keras.layers.TimeDistributed(inner)(keras.layers.Masking()(x)))

    def padded_words(keras: Any, x: Any) -> Any:
        words = keras.Input((5, 3))
        inner = keras.Model(words, keras.layers.GRU(4)(words))
        return keras.layers.TimeDistributed(inner)(keras.layers.Embedding(10, 3, mask_zero=True)(x))

    def time_in_time(keras: Any, x: Any) -> Any:
        inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
        return keras.layers.TimeDistributed(keras.layers.TimeDistributed(inner))(x)

    def timed_in_nested(keras: Any, x: Any) -> Any:
        windows = keras.Sequential([keras.layers.Conv1D(4, 3), keras.layers.Flatten()])
        inner_input = keras.Input((3, 6, 2))
        inner = keras.Model(inner_input, keras.layers.TimeDistributed(windows)(inner_input), name="windows")
        return keras.layers.Subtract()([inner(x), inner(keras.layers.ReLU()(x))])

    def free_steps(keras: Any, x: Any) -> Any:
        inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(2)])
        return keras.layers.LSTM(3)(keras.layers.TimeDistributed(inner)(x))

    video = (3, *IMAGE)
    return [
        Case(group, "nested models, called twice", (IMAGE,), nested),
        Case(group, "nested Sequential", (IMAGE,), sequential),
        Case(group, "shared layer", (VECTOR,), shared),
        Case(group, "two inputs, two outputs", (VECTOR, VECTOR), outputs),
        Case(group, "TimeDistributed (model with Add, Concatenate, BatchNormalization)", (video,), each_step),
        Case(group, "TimeDistributed (Sequential), LSTM", (video,), frames),
        Case(
            group, "TimeDistributed (Embedding with mask_zero, GRU), LSTM", ((3, 5),), sentences, BOTH, "ids"
        ),
        Case(group, "Masking, TimeDistributed (Sequential), LSTM", (STEPS,), padded_steps, BOTH, "padded"),
        Case(
            group,
            "Embedding (mask_zero), TimeDistributed (model with GRU)",
            ((3, 5),),
            padded_words,
            BOTH,
            "ids",
        ),
        Case(group, "TimeDistributed (TimeDistributed (Sequential))", ((2, 3, 4),), time_in_time),
        Case(
            group,
            "TimeDistributed (Sequential) in a nested model, called twice",
            ((3, 6, 2),),
            timed_in_nested,
        ),
        Case(group, "TimeDistributed (Sequential), any number of steps", ((None, 4),), free_steps),
    ]


def all_cases() -> list[Case]:
    return [*_layers(), *_recurrent(), *_merging(), *_activations(), *_operations(), *_structures()]


def draw(case: Case, seed: int) -> list[Any]:
    """Inputs of a case: four samples of each."""
    import numpy as np

    random = np.random.default_rng(seed)
    drawn = []
    for shape in case.shapes:
        full = (4, *(9 if size is None else size for size in shape))
        if case.values == "ids":
            array = random.integers(0, 10, full).astype(case.dtype)
        elif case.values == "image":
            array = random.uniform(0, 255, full).astype(case.dtype)
        elif case.values == "positive":
            array = random.uniform(0.1, 0.9, full).astype(case.dtype)
        else:
            array = random.normal(0.0, 2.0, full).astype(case.dtype)
        if case.values == "padded":
            array[:, -3:] = 0.0
        drawn.append(array)
    return drawn


def write(generation: str, folder: Path) -> None:
    """Writes every case of one generation: model (.keras and .h5, where Keras itself can), inputs and outputs."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    if generation == "keras2":
        os.environ["TF_USE_LEGACY_KERAS"] = "1"
        import tf_keras as keras
    else:
        os.environ.pop("TF_USE_LEGACY_KERAS", None)
        import keras
    import numpy as np

    written = {}
    for number, case in enumerate(all_cases()):
        if generation not in case.generations:
            continue
        keras.utils.set_random_seed(number)
        inputs = [
            keras.Input(shape, dtype=case.dtype, name=f"in{place}") for place, shape in enumerate(case.shapes)
        ]
        outputs = case.build(keras, inputs[0] if len(inputs) == 1 else inputs)
        model = keras.Model(inputs, outputs)
        random = np.random.default_rng(number)
        model.set_weights([
            weight if weight.dtype.kind != "f" or "ormalization (adapted" in case.name
            else np.abs(weight + random.normal(0.0, 0.3, weight.shape)).astype("float32") + 0.1
            if "ormalization" in case.name else (weight + random.normal(0.0, 0.3, weight.shape)).astype("float32")
            for weight in model.get_weights()
        ])  # fmt: skip
        drawn = draw(case, number)
        found = model(drawn if len(drawn) > 1 else drawn[0], training=False)
        found = list(found) if isinstance(found, (list, tuple)) else [found]
        arrays = {f"in{place}": value for place, value in enumerate(drawn)}
        arrays |= {f"out{place}": np.asarray(value) for place, value in enumerate(found)}
        np.savez(folder / f"{number}.npz", **arrays)
        suffixes, refusals = [], []
        for suffix in (".keras", ".h5"):
            try:
                model.save(folder / f"{number}{suffix}")
                suffixes.append(suffix)
            except (
                TypeError,
                ValueError,
            ) as error:  # some kinds of node neither Keras can write to both formats
                refusals.append(f"{suffix}: {error}")
        if not suffixes:
            raise RuntimeError(f"{case.group}, {case.name}: {refusals}")
        written[number] = {"outputs": len(found), "suffixes": suffixes, "refusals": refusals}
    (folder / "written.json").write_text(json.dumps(written))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    write(sys.argv[1], Path(sys.argv[2]))
