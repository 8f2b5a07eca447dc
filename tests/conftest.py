"""Shared fixtures: where the real models are, and a TensorFlow that is quiet and speaks Keras 2."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# The same examples every time, and no time limit for each: a busy machine is no failure.
hypothesis.settings.register_profile("edgepack", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("edgepack")


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """Folder of real pretrained models with real data: EDGEPACK_SHARED_MODELS, else beside the clone."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "models"
    folder = Path(os.environ.get("EDGEPACK_SHARED_MODELS", beside))
    if not folder.is_dir():
        pytest.skip(f"real models are not in {folder}; set EDGEPACK_SHARED_MODELS")
    return folder
