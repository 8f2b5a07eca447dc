"""The two real models on which the stock converter fails, in full int8."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import tflite
from tests.backend.converting_cases import Converted, converted

pytestmark = pytest.mark.tensorflow


def _converted(source: Path, calibration: dict[str, Any], folder: Path) -> tuple[Any, Converted]:
    from edgepack.backend import rebuild

    model = rebuild.load(source)
    made = converted(model, calibration, folder)
    assert tflite.computing_float_ops(made.model) == {}
    assert tflite.broken_recurrences(made.model) == {}
    return rebuild.load(source), made  # conversion rewrites its own copy, but nothing is taken on trust


def test_masking_lstm_on_which_tensorflow_segfaults(shared_models: Path, tmp_path: Path) -> None:
    folder = shared_models / "mhc_lstm_masking"
    with np.load(folder / "calib.npz") as calibration, np.load(folder / "test.npz") as test:
        known, rows = {"masking_input": calibration["x"]}, test["x"][:500]
    model, made = _converted(folder / "HLA-A03_01_full.h5", known, tmp_path)
    (found,) = made.run({"masking_input": rows}).values()
    wanted = model.predict(rows, verbose=0)
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.995  # AUC on the 2,000: 0.956, as in float
    assert made.artifact.inputs[0].dtype == "int8"


def test_two_id_inputs_whose_int8_was_useless(shared_models: Path, tmp_path: Path) -> None:
    folder = shared_models / "thai_deepcut_2input"
    names = {"input_1": "x_char", "input_2": "x_type"}
    with np.load(folder / "calib.npz") as calibration, np.load(folder / "test.npz") as test:
        known = {name: calibration[array].astype(np.float32) for name, array in names.items()}
        rows = {name: test[array][:1000].astype(np.float32) for name, array in names.items()}
    model, made = _converted(folder / "deepcut_full.h5", known, tmp_path)
    assert {spec.name: spec.dtype for spec in made.artifact.inputs} == {
        "input_1": "int32",
        "input_2": "int32",
    }
    (found,) = made.run(rows).values()
    wanted = model.predict(list(rows.values()), verbose=0)
    assert ((found > 0.5) == (wanted > 0.5)).mean() > 0.985  # F1 on the 8,000: 0.932, float 0.933
