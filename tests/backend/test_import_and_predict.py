"""The two operations every build starts with: import the user's model, ask it for its outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors
from edgepack.data import Affine, Dataset

pytestmark = pytest.mark.tensorflow


def quiet(text: str, part: float | None) -> None:
    assert text


@pytest.fixture
def two_ways(tmp_path: Path) -> Path:
    """A model with two inputs and two outputs, whose names are not in order."""
    import tf_keras as keras

    from edgepack.backend import rebuild

    keras.utils.set_random_seed(4)
    zebra, ant = keras.Input((3,), name="zebra"), keras.Input((2,), name="ant")
    both = keras.layers.Concatenate(name="both")([zebra, ant])
    outputs = [
        keras.layers.Dense(2, name="z")(both),
        keras.layers.Dense(1, name="a", activation="sigmoid")(ant),
    ]
    path = tmp_path / "two.h5"
    rebuild.save(keras.Model([zebra, ant], outputs), path)
    return path


def dataset(folder: Path, **arrays: np.ndarray) -> Dataset:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return Dataset(
        inputs={name: folder / f"{name}.npy" for name in arrays},
        labels={},
        preprocess={name: Affine(scale=0.5, offset=1.0, dtype="float32") for name in arrays},
        count=len(next(iter(arrays.values()))),
        sha256="0" * 64,
    )


def test_predict_goes_by_name_and_preprocesses(two_ways: Path, tmp_path: Path) -> None:
    from edgepack.backend import rebuild
    from edgepack.backend.predict import predict

    random = np.random.default_rng(0)
    ant, zebra = random.normal(size=(7, 2)).astype("float32"), random.normal(size=(7, 3)).astype("float32")
    target = tmp_path / "out.npz"
    samples = dataset(tmp_path, ant=ant, zebra=zebra)
    result = predict(
        source=str(two_ways), dataset=samples.to_json(), target=str(target), batch_size=4, report=quiet
    )
    assert result == {"count": 7, "outputs": ["z", "a"]}
    wanted = rebuild.load(two_ways)([zebra * 0.5 + 1, ant * 0.5 + 1])
    with np.load(target) as found:
        assert found["z"].dtype == np.float32
        np.testing.assert_allclose(found["z"], wanted[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found["a"], wanted[1], rtol=1e-5, atol=1e-6)


def test_predict_names_a_missing_input(two_ways: Path, tmp_path: Path) -> None:
    from edgepack.backend.predict import predict

    samples = dataset(tmp_path, ant=np.zeros((2, 2), "float32"))
    with pytest.raises(errors.DataError, match="'zebra'"):
        predict(source=str(two_ways), dataset=samples.to_json(), target=str(tmp_path / "o.npz"), report=quiet)


def test_import_writes_a_candidate_with_names_and_dropped_layers(tmp_path: Path) -> None:
    import tf_keras as keras

    from edgepack.backend.importing import import_model

    image = keras.Input((8, 8, 3), name="image")
    flipped = keras.layers.RandomFlip(name="flip")(image)
    model = keras.Model(image, keras.layers.Dense(2, name="score")(keras.layers.Flatten()(flipped)))
    source = tmp_path / "user.keras"
    model.save(source)
    result = import_model(source=str(source), target=str(tmp_path / "c.h5"), report=quiet)
    assert result["kind"] == "candidate"
    assert result["inputs"] == [
        {"name": "image", "shape": (None, 8, 8, 3), "dtype": "float32", "scale": None, "zero_point": None}
    ]
    assert [spec["name"] for spec in result["outputs"]] == ["score"]  # type: ignore[index, union-attr, call-overload]
    assert result["dropped"] == [["flip", "random augmentation acts in training only"]]


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel that is no Keras model."""
    import tensorflow as tf

    module = tf.Module()
    module.weight = tf.Variable(tf.ones((3, 2)))

    @tf.function(input_signature=[tf.TensorSpec((None, 3), name="x")])
    def serve(x: Any) -> dict[str, Any]:
        return {"y": tf.nn.relu(x @ module.weight)}

    folder = tmp_path_factory.mktemp("saved") / "model"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return folder


def test_saved_model_needs_trust(functions: Path, tmp_path: Path) -> None:
    from edgepack.backend.importing import import_model

    with pytest.raises(errors.TrustError, match="--trust-input"):
        import_model(source=str(functions), target=str(tmp_path / "c.h5"), report=quiet)


def test_foreign_saved_model_is_for_quantizing_only(functions: Path, tmp_path: Path) -> None:
    from edgepack.backend.importing import import_model
    from edgepack.backend.predict import predict

    target = tmp_path / "c.h5"
    result = import_model(source=str(functions), target=str(target), trust_input=True, report=quiet)
    assert result["kind"] == "saved_model" and "Keras" in str(result["reason"]) and not target.exists()
    samples = dataset(tmp_path, x=np.ones((5, 3), "float32"))
    out = tmp_path / "o.npz"
    predict(source=str(functions), dataset=samples.to_json(), target=str(out), report=quiet)
    with np.load(out) as found:
        np.testing.assert_allclose(found["y"], np.full((5, 2), 4.5), rtol=1e-6)


def test_broken_saved_model_is_a_clean_error(tmp_path: Path) -> None:
    from edgepack.backend.importing import import_model

    (tmp_path / "saved_model.pb").write_bytes(b"not a graph")
    with pytest.raises(errors.ModelError, match="not a SavedModel"):
        import_model(source=str(tmp_path), target=str(tmp_path / "c.h5"), trust_input=True, report=quiet)


def test_output_name_of_a_layer_whose_activation_follows_it(tmp_path: Path) -> None:
    """The Dense keeps its name for the stages, the output its name for the user, through any number of files."""
    from edgepack.backend import rebuild
    from edgepack.gate.graph import Call, Graph, Layer, Ref

    layers = {
        "x": Layer(name="x", kind="InputLayer", config={"batch_input_shape": [None, 2], "dtype": "float32"}),
        "score": Layer(
            name="score",
            kind="Dense",
            config={"units": 1, "activation": "hard_sigmoid_6"},
            weights=(np.ones((2, 1), np.float32), np.zeros(1, np.float32)),
        ),
    }
    calls = (Call(layer="x", kwargs={}), Call(layer="score", args=(Ref(0),), kwargs={}))
    graph = Graph(
        name="m",
        generation="keras3",
        layers=layers,
        calls=calls,
        inputs=(("x", Ref(0)),),
        outputs=(("score", Ref(1)),),
    )
    path = tmp_path / "c.h5"
    rebuild.save(rebuild.build(graph), path)
    model = rebuild.load(path)
    assert list(model.output_names) == ["score"] and model.get_layer("score").weights
    np.testing.assert_allclose(model(np.array([[-1.0, -1.0]])), [[1 / 6]], rtol=1e-6)


def test_weights_that_do_not_fit_name_the_layer(tmp_path: Path) -> None:
    from edgepack.backend import rebuild
    from edgepack.gate.graph import Call, Graph, Layer, Ref

    layers = {
        "x": Layer(name="x", kind="InputLayer", config={"batch_input_shape": [None, 2], "dtype": "float32"}),
        "d": Layer(name="d", kind="Dense", config={"units": 1}, weights=(np.ones((3, 1), np.float32),)),
    }
    calls = (Call(layer="x", kwargs={}), Call(layer="d", args=(Ref(0),), kwargs={}))
    graph = Graph(name="m", generation="keras2", layers=layers, calls=calls,
                  inputs=(("x", Ref(0)),), outputs=(("d", Ref(1)),))  # fmt: skip
    with pytest.raises(errors.ModelError, match="layer 'd'"):
        rebuild.build(graph)
