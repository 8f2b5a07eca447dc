"""A model that plain int8 ruins, restored: what is chosen, what is told, what is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors
from edgepack.backend import Backend
from edgepack.data import Affine, Dataset
from edgepack.numerics.divergence import closer
from edgepack.records import Artifact
from edgepack.stages.quantize import Quantize
from edgepack.stages.refinement import Choices, Refiner, split
from edgepack.stages.search import Judgement

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def ruined(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Dataset]:
    """A candidate whose channels between two convolutions differ by 10,000 times, and its calibration data."""
    import tf_keras
    from tf_keras import layers

    from edgepack.backend import rebuild

    folder = tmp_path_factory.mktemp("ruined")
    tf_keras.utils.set_random_seed(0)
    image = tf_keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(12, 3, activation="relu", name="first")(image)
    x = layers.DepthwiseConv2D(3, activation="relu", name="depthwise")(x)
    x = layers.Conv2D(12, 1, activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = tf_keras.Model(image, layers.Dense(5, name="values")(x))
    random = np.random.default_rng(0)
    for one, other in (("first", "depthwise"), ("depthwise", "second"), ("second", "values")):
        factors = np.exp(random.uniform(np.log(0.01), np.log(100.0), 12)).astype(np.float32)
        kernel, bias = model.get_layer(one).get_weights()
        model.get_layer(one).set_weights(
            [kernel * factors.reshape((1, 1, 12, 1) if one == "depthwise" else -1), bias]
        )
        kernel, bias = model.get_layer(other).get_weights()
        model.get_layer(other).set_weights([kernel / factors.reshape(-1, 1), bias])
    rebuild.save(model, folder / "model.h5")
    np.save(folder / "image.npy", random.normal(0, 1, (64, 8, 8, 3)).astype(np.float32))
    data = Dataset(
        inputs={"image": folder / "image.npy"},
        labels={},
        preprocess={"image": Affine()},
        count=64,
        sha256="0" * 64,
    )
    return folder / "model.h5", data


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with Backend(log=tmp_path_factory.mktemp("log") / "tensorflow.log") as child:
        yield child


def test_equalization_restores_and_noise_names_the_layer(
    ruined: tuple[Path, Dataset], backend: Backend, tmp_path: Path
) -> None:
    source, data = ruined
    conversion: dict[str, Any] = {"source": str(source), "scheme": "int8", "calibration": data.to_json()}
    with Refiner(backend, conversion, data, promised=("nothing",), parent=tmp_path) as refiner:
        plain, equalized = Choices(), Choices(equalize=True)
        far = refiner.divergences(refiner.make(plain))
        near = refiner.divergences(refiner.make(equalized))
        assert refiner.equalized_pairs == 3
        assert closer(near, far) and near.mean() < 0.02 * far.mean()
        worst = refiner.noise(refiner.make(plain), plain)
        assert worst[0].layer in ("depthwise", "second", "values") and worst[0].added > 0.01
        spared = refiner.make(Choices(float_nodes=(worst[0].node,)))
        assert refiner.divergences(spared).mean() < far.mean()
    with Refiner(backend, conversion, data, promised=("depthwise", "values"), parent=tmp_path) as refiner:
        refiner.make(equalized)
        assert refiner.equalized_pairs == 0
    assert not list(tmp_path.iterdir())


def test_a_strained_model_is_refined_and_every_trial_told(
    ruined: tuple[Path, Dataset], backend: Backend, tmp_path: Path
) -> None:
    seen: list[str] = []

    def accept(artifact: Artifact) -> Judgement:
        """Complains until the third look."""
        seen.append(artifact.sha256)
        if len(seen) < 3:
            return Judgement(complaint="mae rose", drop=0.5 / len(seen), strained=True)
        return Judgement(drop=0.001)

    result = Quantize(slim=False).apply(
        backend, ruined[0], tmp_path / "m.tflite", ruined[1], accept=accept, promised=()
    )
    assert result.accepted and "equalized" in str(result.details["remedy"])
    told = [note.reason for note in result.notes]
    assert told[0] == "plain: mae rose"
    trials = [reason for reason in told if "calibration samples held back" in reason]
    assert len(trials) == 2 and trials[-1].endswith("measured drop 0.0010: kept")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.tflite"]


def test_where_nothing_helps_the_worst_layers_are_named(
    ruined: tuple[Path, Dataset], backend: Backend, tmp_path: Path
) -> None:
    settings = Quantize(slim=False, equalize=False, ranges="minmax", allow_float=True)
    looks: list[str] = []

    def accept(artifact: Artifact) -> Judgement:
        looks.append(artifact.sha256)
        return Judgement(complaint="mae rose", drop=0.5, strained=True)

    result = settings.apply(backend, ruined[0], tmp_path / "m.tflite", ruined[1], accept=accept)
    assert not result.accepted and len(result.worst) == 3
    assert result.details["remedy"] == "plain"
    tried = [attempt.remedy for attempt in result.attempts]
    spared = [name for name in tried if name.endswith(" in float")]
    assert len(spared) == 3 and tried.index(spared[0]) < tried.index("dynamic range")
    assert any(note.layer and note.reason.startswith("int8 loses most here") for note in result.notes)


def test_what_the_recipe_asks_is_done_at_once(
    ruined: tuple[Path, Dataset], backend: Backend, tmp_path: Path
) -> None:
    settings = Quantize(slim=False, ranges="mse", equalize=True)
    result = settings.apply(backend, ruined[0], tmp_path / "m.tflite", ruined[1])
    assert result.details["remedy"] == "mse ranges, equalized"


def test_few_samples_cannot_be_split() -> None:
    with pytest.raises(errors.DataError, match="has 7 samples; choosing ranges needs at least 8"):
        split(7)
    fitted, held = split(1000)
    assert not set(fitted) & set(held) and (len(fitted), len(held)) == (96, 64)
