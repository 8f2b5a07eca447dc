"""``edgepack init``: from real models to recipes that build as they stand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgepack.cli import run
from edgepack.recipe import load

DIGITS = Path(__file__).resolve().parents[2] / "recipes" / "digits"
MODELS = (
    "mnist_cnn_keras3/mnist_model.keras",
    "mnist_cnn_keras3/mnist_model.h5",
    "har_conv1d_st/model.h5",
    "kws_dscnn/dscnn.h5",
    "kws_dscnn/kws_ref_model",
    "mhc_lstm_masking/HLA-A03_01_full.h5",
    "thai_deepcut_2input/deepcut_full.h5",
    "ic_resnet8/pretrainedResnet.h5",
    "ic_resnet8/resnet8_jpg.h5",
)


def test_everything_is_found_out_without_running_the_model(tmp_path: Path) -> None:
    target = tmp_path / "first.toml"
    assert (
        run(["init", str(DIGITS / "digits.keras"), "--data", str(DIGITS), "--no-run", "--out", str(target)])
        == 0
    )
    made = load(target)
    assert made.metric.name == "top1" and made.preprocess.scale == 0.0625
    assert made.data.training is not None and made.data.evaluation is not None
    assert made.data.evaluation.labels == "y" and made.data.evaluation.inputs == "x"
    assert [stage.use for stage in made.stage] == ["prune", "cluster"]
    said = [line for line in target.read_text().splitlines() if line.startswith("#")]
    for guess in ("Task guessed: classification", "Preprocessing guessed", "samples", "max_drop"):
        assert any(guess in line for line in said), guess
    assert run(["check", str(target)]) == 0


def test_a_recipe_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "mine.toml"
    target.write_text("mine")
    arguments = ["init", str(DIGITS / "digits.keras"), "--no-run", "--out", str(target)]
    assert run(arguments) == 65
    assert "--force" in capsys.readouterr().err and target.read_text() == "mine"
    assert run([*arguments, "--force"]) == 0 and "edgepack = 1" in target.read_text()


def test_without_data_one_path_is_left_to_fill_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "alone.keras"
    model.write_bytes((DIGITS / "digits.keras").read_bytes())
    target = tmp_path / "alone.toml"
    assert run(["init", str(model), "--out", str(target)]) == 0
    assert "put your data's path into it" in capsys.readouterr().out
    text = target.read_text()
    assert text.count("← your data") == 2
    (tmp_path / "your_data.npz").write_bytes((DIGITS / "evaluation.npz").read_bytes())
    assert run(["check", str(target)]) == 0


def test_pictures_in_folders_are_fitted_to_the_model(tmp_path: Path) -> None:
    from PIL import Image

    generator = np.random.default_rng(0)
    for role, count in (("train", 3), ("val", 2)):
        for name in map(str, range(10)):
            (tmp_path / "pictures" / role / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 255, (20, 30, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pictures" / role / name / f"{number}.png")
    target = tmp_path / "p.toml"
    model, data = str(DIGITS / "digits.keras"), str(tmp_path / "pictures")
    assert run(["init", model, "--data", data, "--no-run", "--out", str(target)]) == 0
    made = load(target)
    assert made.preprocess.resize == (8, 8) and made.preprocess.grayscale
    assert made.preprocess.scale == pytest.approx(1 / 255)
    assert made.data.training is None  # 30 pictures are too few to learn from
    assert made.data.calibration is not None and "train" in str(made.data.calibration.path)
    assert run(["check", str(target)]) == 0


def test_labels_beside_an_idx_file(shared_models: Path, tmp_path: Path) -> None:
    folder, target = shared_models / "mnist_cnn_keras3", tmp_path / "m.toml"
    data = folder / "t10k-images-idx3-ubyte.gz"
    arguments = [
        "init",
        str(folder / "mnist_model.keras"),
        "--data",
        str(data),
        "--no-run",
        "--out",
        str(target),
    ]
    assert run(arguments) == 0
    made = load(target)
    assert made.data.evaluation is not None and made.data.calibration is not None
    assert str(made.data.evaluation.labels_path).endswith("t10k-labels-idx1-ubyte.gz")
    assert made.data.evaluation.start == made.data.calibration.count == 200
    assert run(["check", str(target)]) == 0


@pytest.mark.parametrize("model", ["cnn_without_ne_ab.h5"])
def test_weights_alone_are_refused(
    model: str, shared_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared_models / "thai_deepcut_2input" / model
    assert run(["init", str(path), "--out", str(tmp_path / "x.toml")]) == 65
    assert "weights only" in capsys.readouterr().err
    assert not (tmp_path / "x.toml").exists()


def test_what_is_no_keras_model_is_told_what_to_do(
    shared_models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tflite = shared_models / "ic_resnet8" / "pretrainedResnet_quant.tflite"
    assert run(["init", str(tflite), "--out", str(tmp_path / "x.toml")]) == 65
    assert "already a .tflite" in capsys.readouterr().err
    saved = shared_models / "kws_dscnn" / "kws_ref_model"
    assert run(["init", str(saved), "--out", str(tmp_path / "x.toml")]) == 77
    assert "--trust-input" in capsys.readouterr().err


@pytest.mark.tensorflow
def test_the_model_itself_is_asked_how_it_was_fed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "asked.toml"
    arguments = ["init", str(DIGITS / "digits.keras"), "--data", str(DIGITS / "evaluation.npz"), "--json"]
    assert run([*arguments, "--out", str(target)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["preprocess"]["image"]["lines"] == ["scale = 0.0625"]
    assert told["preprocess"]["image"]["reason"].startswith("tried on")
    assert set(told["samples"]) == {"calibration", "evaluation"}


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("model", MODELS)
def test_init_then_build(
    model: str, shared_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEPACK_CACHE", str(tmp_path / "cache"))
    target, out = tmp_path / "first.toml", tmp_path / "dist"
    trust = ["--trust-input"] if model.endswith("kws_ref_model") else []
    assert run(["init", str(shared_models / model), "--out", str(target), *trust]) == 0
    assert run(["build", str(target), "--out", str(out), "--no-bench", "--quiet", *trust]) == 0
    told = json.loads((out / "build.json").read_text())
    assert told["status"] == "passed" and told["metric"]["samples"] >= 900
