"""The models of the scoreboard: each a recipe without stages, with what else is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgepack import recipe as recipes
from edgepack import tables

Tables = Mapping[str, Any]

SHARES: Final = (0.55, 0.43, 0.35)
"""Delivered bytes that the joint plan is asked for, as shares of edgepack's plain int8, where a case names none."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model with its data.

    Attributes:
      tables: a recipe of model, calibration, evaluation, preprocessing and metric; every path absolute.
      training: a `[data.training]` table where there are labelled training data, for the rows that train.
      variation: what the training pictures may go through without another answer; {} for none.
      published: an int8 .tflite of the same network that its publisher made.
      delivered_bytes: targets of the joint plan; () takes `SHARES`.
      thorough: whether every method is run at several sizes, or at one.
    """

    name: str
    tables: Tables
    training: Tables | None = None
    variation: Tables = field(default_factory=dict)
    published: Path | None = None
    delivered_bytes: tuple[int, ...] = ()
    thorough: bool = False


def _npz(path: Path, inputs: Any = "x") -> dict[str, Any]:
    return {"path": str(path), "inputs": inputs, "labels": "y"}


def _tables(name: str, model: Path, calibration: Tables, evaluation: Tables, **rest: Any) -> Tables:
    data = {"calibration": dict(calibration), "evaluation": dict(evaluation)}
    fixed = {"edgepack": 1, "name": name, "version": "1.0.0"}
    return {**fixed, "model": {"path": str(model)}, "data": data, "metric": {"name": "top1"}, **rest}


def shared(models: Path) -> dict[str, Case]:
    """The cases of the folder of shared models, by name."""
    found = (
        *_pictures(models / "ic_resnet8"),
        *_keywords(models / "kws_dscnn"),
        _activity(models / "har_conv1d_st"),
        _digits(models / "mnist_cnn_keras3"),
        _words(models / "thai_deepcut_2input"),
        _peptides(models / "mhc_lstm_masking"),
    )
    return {case.name: case for case in found}


def _pictures(folder: Path) -> tuple[Case, ...]:
    """ResNet8, twice: fine-tuned on JPEG pictures as its test set is, and as its publisher gives it."""
    data = _npz(folder / "calib.npz"), _npz(folder / "test_jpg.npz")
    return (
        Case(
            name="ic_resnet8",
            tables=_tables("ic_resnet8", folder / "resnet8_jpg.h5", *data),
            training=_npz(folder / "train_jpg.npz"),
            variation={"mirror": True, "shift": 2},
            delivered_bytes=(41_000, 33_000, 30_000),
            thorough=True,
        ),
        Case(
            name="ic_resnet8_published",
            tables=_tables("ic_resnet8_published", folder / "pretrainedResnet.h5", *data),
            published=folder / "pretrainedResnet_quant.tflite",
        ),
    )


def _keywords(folder: Path) -> tuple[Case, ...]:
    data = _npz(folder / "calib.npz"), _npz(folder / "test.npz")
    return (
        Case(
            name="kws_dscnn",
            tables=_tables("kws_dscnn", folder / "dscnn.h5", *data),
            published=folder / "kws_ref_model.tflite",
            delivered_bytes=(18_000, 15_000, 13_000, 12_000, 11_000),
            thorough=True,
        ),
    )


def _activity(folder: Path) -> Case:
    data = _npz(folder / "calib.npz"), _npz(folder / "test.npz")
    return Case(name="har_conv1d_st", tables=_tables("har_conv1d_st", folder / "model.h5", *data))


def _digits(folder: Path) -> Case:
    source = {
        "path": str(folder / "t10k-images-idx3-ubyte.gz"),
        "labels_path": str(folder / "t10k-labels-idx1-ubyte.gz"),
    }
    made = _tables(
        "mnist_cnn_keras3",
        folder / "mnist_model.keras",
        {**source, "count": 200},
        {**source, "start": 200},
        preprocess={"scale": 1 / 255},
    )
    return Case(name="mnist_cnn_keras3", tables=made)


def _words(folder: Path) -> Case:
    inputs = {"input_1": "x_char", "input_2": "x_type"}
    made = _tables(
        "thai_deepcut_2input",
        folder / "deepcut_full.h5",
        _npz(folder / "calib.npz", inputs),
        _npz(folder / "test.npz", inputs),
        metric={"name": "f1"},
    )
    return Case(name="thai_deepcut_2input", tables=made)


def _peptides(folder: Path) -> Case:
    made = _tables(
        "mhc_lstm_masking",
        folder / "HLA-A03_01_full.h5",
        _npz(folder / "calib.npz"),
        _npz(folder / "test.npz"),
        metric={"name": "auc"},
    )
    return Case(name="mhc_lstm_masking", tables=made)


def of_recipe(path: Path) -> Case:
    """Anybody's recipe as a case: its stages, its target and its budget are left out, its training data kept apart."""
    read = recipes.load(path)
    document = tables.read(read.path)
    data = {name: _absolute(source, read.directory) for name, source in document["data"].items()}
    training = data.pop("training", None)
    kept = {key: value for key, value in document.items() if key not in ("stage", "target", "budget")}
    kept["data"] = data
    kept["model"] = _absolute(document["model"], read.directory)
    return Case(name=read.name, tables=kept, training=training, thorough=True)


def _absolute(table: Tables, folder: Path) -> dict[str, Any]:
    """The same table with the paths in it made absolute."""
    places = {key: str((folder / table[key]).resolve()) for key in ("path", "labels_path") if key in table}
    return {**table, **places}


@dataclass(frozen=True, kw_only=True)
class Making:
    """What a row adds to its case's recipe."""

    stages: tuple[Tables, ...] = ()
    rest: Tables = field(default_factory=dict)
    trains: bool = False
    """Whether the row is given the training data."""


def recipe_text(case: Case, making: Making) -> str:
    """The recipe of one row, as TOML.

    Raises:
      RecipeError: it is not one that this edgepack reads; says which key.
    """
    document: dict[str, Any] = {**case.tables, **making.rest}
    if making.stages:
        document["stage"] = [dict(stage) for stage in making.stages]
    if making.trains and case.training is not None:
        document["data"] = {**document["data"], "training": dict(case.training)}
    return recipes.to_toml(tables.validate(recipes.Recipe, document, source=Path(f"{case.name}.toml")))
