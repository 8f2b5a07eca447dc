"""The emulated board, and real int8 models with real inputs for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgepack import emulation, errors
from edgepack.emulation import Machine
from tests.arm.subjects import BOARD, SAMPLES, Subject


@pytest.fixture(scope="session")
def board() -> Machine:
    """The emulated board; `make test-arm` sets it up before."""
    try:
        return emulation.ready(BOARD)
    except errors.DeviceError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def resnet8(shared_models: Path) -> Subject:
    """MLPerf Tiny's image classification: 60 real pictures, spread over the test set."""
    folder = shared_models / "ic_resnet8"
    with np.load(folder / "test_jpg.npz", allow_pickle=False) as archive:
        pictures = archive["x"][:: len(archive["x"]) // SAMPLES][:SAMPLES]
    stored = (pictures.astype(np.int16) - 128).astype(np.int8)
    return Subject(model=folder / "pretrainedResnet_quant.tflite", inputs={"input": stored})


@pytest.fixture(scope="session")
def dscnn(shared_models: Path) -> Subject:
    """MLPerf Tiny's keyword spotting: 60 real spectrograms, spread over the test set."""
    folder = shared_models / "kws_dscnn"
    with np.load(folder / "test.npz", allow_pickle=False) as archive:
        stored = archive["x_int8_as_published"]
    return Subject(
        model=folder / "kws_ref_model.tflite", inputs={"input": stored[:: len(stored) // SAMPLES][:SAMPLES]}
    )
