"""Candidates become .tflite files that compute the same, in integers, with everything bound by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors, gate, runtime, tflite
from edgepack.gate.facts import layer_facts
from tests.backend.converting_cases import Converted, converted
from tests.backend.training_cases import picture_net, pictures

pytestmark = pytest.mark.tensorflow
RNG = np.random.default_rng(5)


def _error(found: np.ndarray[Any, Any], wanted: Any) -> float:
    """Mean error in units of the wanted values' spread."""
    wanted = np.asarray(wanted)
    return float(np.abs(found - wanted).mean() / wanted.std())


@pytest.fixture(scope="module")
def net() -> Any:
    return picture_net()


@pytest.fixture(scope="module")
def int8(net: Any, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    return converted(net, {"image": pictures()[0]}, tmp_path_factory.mktemp("int8"))


def test_int8_is_integer_throughout_and_close(net: Any, int8: Converted) -> None:
    images = pictures(seed=3)[0]
    assert tflite.computing_float_ops(int8.model) == {}
    assert [(spec.name, spec.dtype, spec.shape) for spec in int8.artifact.inputs] == [
        ("image", "int8", (1, 8, 8, 2))
    ]
    assert "image" in int8.model.main.tensors[int8.model.main.inputs[0]].name
    (output,) = int8.run({"image": images}).values()
    assert _error(output, net(images)) < 0.1
    assert int8.answer == {"ids": [], "notes": [], "clipped": {}}


def test_the_same_model_gives_the_same_bytes(net: Any, int8: Converted, tmp_path: Path) -> None:
    again = converted(net, {"image": pictures()[0]}, tmp_path)
    assert again.path.read_bytes() == int8.path.read_bytes()


@pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic"])
def test_every_kernel_is_found_again_by_content(net: Any, scheme: str, tmp_path: Path) -> None:
    made = converted(net, {"image": pictures()[0]}, tmp_path, scheme=scheme)
    _all_located(tmp_path / "model.h5", made)
    assert [spec.dtype for spec in made.artifact.inputs] == ["float32"]


def test_every_int8_kernel_is_found_again_by_content(int8: Converted) -> None:
    _all_located(int8.path.with_name("model.h5"), int8)


def _all_located(candidate: Path, made: Converted) -> None:
    facts = layer_facts(gate.read(candidate))
    kernels = [(layer, kernel) for layer in facts for kernel in layer.kernels]
    assert len(kernels) >= 4
    for layer, kernel in kernels:
        found = tflite.invariants.locate(layer, kernel, made.model)
        assert found, (layer.name, kernel.role)
        assert sum(part.stored.size for part in found) == kernel.array.size


@pytest.mark.parametrize("size", [1e-3, 1e-7, 0.0])
def test_a_signal_that_dies_away_still_runs_on_the_reference_kernels(size: float, tmp_path: Path) -> None:
    """As in deep networks of random weights: Softmax's reference kernel ends the process where the scale is too small."""
    net = picture_net()
    for layer in net.layers:
        layer.set_weights([size * weights for weights in layer.get_weights()])
    made = converted(net, {"image": pictures()[0]}, tmp_path)
    vectors = {"image": np.zeros((2, 8, 8, 2), np.int8)}
    found = runtime.run_kernels(made.path, vectors, ("reference", "default"))
    for outputs in found.values():
        (classes,) = outputs.values()
        assert np.abs(classes - classes.mean()).max() <= 1  # nothing is left to tell the classes apart


@pytest.mark.parametrize(("io", "dtype"), [("float32", "float32"), ("uint8", "uint8")])
def test_inputs_and_outputs_of_other_types(net: Any, io: str, dtype: str, tmp_path: Path) -> None:
    made = converted(net, {"image": pictures()[0]}, tmp_path, input_type=io, output_type=io)
    assert {spec.dtype for spec in (*made.artifact.inputs, *made.artifact.outputs)} == {dtype}
    assert tflite.computing_float_ops(made.model) == {}


def _words_and_image() -> tuple[Any, dict[str, np.ndarray[Any, Any]]]:
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(2)
    image, words = tf_keras.Input((8, 8, 3), name="an.image-1"), tf_keras.Input((5,), name="words")
    seen = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, activation="relu")(image))
    read = layers.Flatten()(layers.Embedding(200, 4)(layers.Reshape((5,))(words)))
    joined = layers.Concatenate()([seen, read])
    outputs = [layers.Dense(2, name="z")(joined), layers.Dense(3, activation="softmax", name="a")(joined)]
    inputs = {"an.image-1": RNG.normal(size=(48, 8, 8, 3)), "words": RNG.integers(0, 200, (48, 5))}
    return tf_keras.Model([image, words], outputs), {name: v.astype(np.float32) for name, v in inputs.items()}


def test_ids_stay_exact_and_names_decide(tmp_path: Path) -> None:
    model, inputs = _words_and_image()
    made = converted(model, inputs, tmp_path)
    assert {spec.name: spec.dtype for spec in made.artifact.inputs} == {
        "an.image-1": "int8",
        "words": "int32",
    }
    assert made.answer["ids"] == ["words"]
    assert tflite.computing_float_ops(made.model) == {}
    found, (z, a) = made.run(inputs), model(list(inputs.values()))
    assert _error(found["z"], z) < 0.05 and _error(found["a"], a) < 0.1


def test_ids_beside_numbers_in_one_input_stay_exact(tmp_path: Path) -> None:
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(3)
    table = tf_keras.Input((6,), name="table")
    joined = layers.Concatenate()(
        [layers.Flatten()(layers.Embedding(3000, 4)(table[:, :2])), layers.Dense(6)(table[:, 2:])]
    )
    model = tf_keras.Model(table, layers.Dense(2)(joined))
    rows = np.concatenate([RNG.integers(0, 3000, (48, 2)), RNG.normal(size=(48, 4))], axis=1).astype(
        np.float32
    )
    made = converted(model, {"table": rows}, tmp_path)
    assert [spec.dtype for spec in made.artifact.inputs] == ["float32"]
    assert made.answer["ids"] == ["table"]
    assert tflite.computing_float_ops(made.model) == {}
    (output,) = made.run({"table": rows}).values()
    assert _error(output, model(rows)) < 0.1


def test_small_ops_are_integer_and_ids_may_be_one_hot(tmp_path: Path) -> None:
    import tensorflow as tf
    import tf_keras

    ids, x = tf_keras.Input((3,), name="ids"), tf_keras.Input((4,), name="x")
    one_hot = tf.one_hot(tf.cast(ids, tf.int32), 5)
    model = tf_keras.Model([ids, x], [one_hot, -x, tf.square(x), tf.nn.elu(x)])
    inputs = {"ids": RNG.integers(0, 5, (32, 3)), "x": RNG.normal(size=(32, 4))}
    inputs = {name: values.astype(np.float32) for name, values in inputs.items()}
    made = converted(model, inputs, tmp_path)
    assert made.answer["ids"] == ["ids"]
    assert tflite.computing_float_ops(made.model) == {}
    found = made.run(inputs)
    for name, wanted in zip(model.output_names, model(list(inputs.values())), strict=True):
        assert _error(found[name], wanted) < 0.03, name


def test_uneven_branches_are_normalised_before_they_join(tmp_path: Path) -> None:
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(4)
    given = tf_keras.Input((6,), name="x")
    large, small = layers.Dense(8, name="large")(given), layers.Dense(8, name="small")(given)
    large = layers.Rescaling(400.0)(large)
    joined = layers.BatchNormalization(name="norm")(layers.Concatenate(name="join")([large, small]))
    model = tf_keras.Model(given, layers.Dense(3)(joined))
    variance = np.r_[np.full(8, 400.0**2), np.ones(8)].astype(np.float32)
    model.get_layer("norm").moving_variance.assign(variance)
    rows = RNG.normal(size=(64, 6)).astype(np.float32)
    made = converted(model, {"x": rows}, tmp_path)
    assert [note["layer"] for note in made.answer["notes"]] == ["norm"]
    (output,) = made.run({"x": rows}).values()
    assert _error(output, model(rows)) < 0.03


@pytest.mark.parametrize("scheme", ["int8", "int16x8"])
def test_a_relu_that_no_sample_passes_is_no_end(scheme: str, tmp_path: Path) -> None:
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(7)
    given = tf_keras.Input((8, 8, 3), name="x")
    first = layers.Conv2D(4, 3, activation="relu")(given)
    never = layers.Conv2D(4, 3, bias_initializer=tf_keras.initializers.Constant(-90.0))(first)
    other = layers.Conv2D(4, 3, activation="relu")(first)
    joined = layers.Add()([other, layers.ReLU(name="never")(never)])
    model = tf_keras.Model(given, layers.Dense(3)(layers.GlobalAveragePooling2D()(joined)))
    rows = RNG.normal(size=(64, 8, 8, 3)).astype(np.float32)
    made = converted(model, {"x": rows}, tmp_path, scheme=scheme)
    told = [note["reason"] for note in made.answer["notes"] if "never" in note["layer"]]
    assert [reason.startswith("always zero") for reason in told] == [True] * (scheme == "int8")
    (output,) = made.run({"x": rows}).values()
    assert _error(output, model(rows)) < 0.05


def test_a_mask_sentinel_does_not_ruin_the_scale(tmp_path: Path) -> None:
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(5)
    given = tf_keras.Input((6, 4), name="x")
    masked = layers.Masking(mask_value=-4_200_000.0, name="masking")(given)
    model = tf_keras.Model(given, layers.Dense(2)(layers.LSTM(8, name="lstm")(masked)))
    rows = RNG.uniform(0.0, 0.4, size=(64, 6, 4)).astype(np.float32)
    for number, row in enumerate(rows):
        row[3 + number % 4 :] = -4_200_000.0
    made = converted(model, {"x": rows}, tmp_path)
    assert tflite.computing_float_ops(made.model) == {} and not tflite.loops(made.model)
    assert [note["layer"] for note in made.answer["notes"]] == ["masking", "lstm"]
    assert made.artifact.inputs[0].scale is not None and made.artifact.inputs[0].scale < 0.01
    (output,) = made.run({"x": rows}).values()
    assert _error(output, model(rows)) < 0.1


def test_fused_recurrences_that_would_misread_are_found_and_unrolled(tmp_path: Path) -> None:
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(6)
    given = tf_keras.Input((6, 4), name="x")
    model = tf_keras.Model(given, layers.Dense(2)(layers.Bidirectional(layers.LSTM(6))(given)))
    rows = RNG.normal(size=(48, 6, 4)).astype(np.float32)
    fused = converted(model, {"x": rows}, tmp_path / "fused")
    assert tflite.broken_recurrences(fused.model) and tflite.stateful(fused.model)
    made = converted(model, {"x": rows}, tmp_path / "unrolled", unroll_all=True)
    assert tflite.broken_recurrences(made.model) == {} and not tflite.stateful(made.model)
    (output,) = made.run({"x": rows}).values()
    assert _error(output, model(rows)) < 0.1


def test_a_free_length_becomes_that_of_the_data(tmp_path: Path) -> None:
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(7)
    free = tf_keras.Input((None, 4), name="x")
    model = tf_keras.Model(free, layers.Dense(2)(layers.GRU(3, name="memory")(free)))
    rows = RNG.normal(size=(48, 5, 4)).astype(np.float32)
    made = converted(model, {"x": rows}, tmp_path)
    assert made.artifact.inputs[0].shape == (1, 5, 4)
    assert "[5, 4]" in made.answer["notes"][0]["reason"]
    (output,) = made.run({"x": rows}).values()
    assert _error(output, model(rows)) < 0.1


@pytest.mark.parametrize("scheme", ["int8", "float32"])
def test_a_picture_of_free_size_becomes_that_of_the_data(scheme: str, tmp_path: Path) -> None:
    import tf_keras
    from tf_keras import layers

    free = tf_keras.Input((None, None, 3), name="picture")
    model = tf_keras.Model(free, layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(free)))
    rows = RNG.normal(size=(24, 7, 6, 3)).astype(np.float32)
    made = converted(model, {"picture": rows}, tmp_path, scheme=scheme)
    assert made.artifact.inputs[0].shape == (1, 7, 6, 3)
    (output,) = made.run({"picture": rows}).values()
    assert _error(output, model(rows)) < 0.1


def test_what_cannot_be_converted_is_said_in_words(tmp_path: Path) -> None:
    import tf_keras
    from tf_keras import layers

    long = tf_keras.Input((600, 4), name="x")
    looping = tf_keras.Model(long, layers.GRU(3, name="memory")(long))
    with pytest.raises(errors.ConversionError, match="'memory' loops over 600 timesteps"):
        converted(looping, {"x": RNG.normal(size=(8, 600, 4)).astype(np.float32)}, tmp_path / "long")
    cube = tf_keras.Input((4, 4, 4, 1), name="x")
    pooled = tf_keras.Model(cube, layers.MaxPooling3D(2, name="pool")(cube))
    with pytest.raises(errors.ConversionError, match=r"no built-in op for MaxPool3D.*pool"):
        converted(pooled, {"x": RNG.normal(size=(8, 4, 4, 4, 1)).astype(np.float32)}, tmp_path / "cube")
    with pytest.raises(errors.DataError, match="no array for the model input x; it has y"):
        converted(looping, {"y": np.zeros((8, 600, 4), np.float32)}, tmp_path / "unnamed")


ACTIVATIONS = (
    "elu",
    "gelu",
    "hard_sigmoid",
    "mish",
    "selu",
    "sigmoid",
    "silu",
    "softplus",
    "softsign",
    "tanh",
)


def test_every_activation_is_integer_and_close(tmp_path: Path) -> None:
    import tensorflow as tf
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(8)
    given = tf_keras.Input((6,), name="x")
    outputs = [layers.Activation(name, name=name)(layers.Dense(8)(given)) for name in ACTIVATIONS]
    outputs.append(layers.ELU(0.5, name="layer_elu")(layers.Dense(8)(given)))
    outputs.append(layers.Dense(8, name="after_op")(tf.nn.selu(layers.Dense(8)(given))))
    model = tf_keras.Model(given, outputs)
    rows = RNG.normal(scale=2.0, size=(64, 6)).astype(np.float32)
    made = converted(model, {"x": rows}, tmp_path)
    assert tflite.computing_float_ops(made.model) == {}
    found = made.run({"x": rows})
    errors_found = {
        name: _error(found[name], wanted)
        for name, wanted in zip(model.output_names, model(rows), strict=True)
    }
    assert max(errors_found.values()) < 0.03, errors_found
