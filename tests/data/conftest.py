"""Small sources on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.data import Dataset, DataSource, Preprocess
from edgepack.data.materialize import materialize
from edgepack.records import TensorSpec

Make = Callable[..., Dataset]


@pytest.fixture
def saved(tmp_path: Path) -> Callable[..., str]:
    """Saves arrays as a .npz and returns its path."""

    def save(name: str = "data.npz", **arrays: Any) -> str:
        path = tmp_path / name
        np.savez_compressed(path, **arrays)
        return str(path)

    return save


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """Materializes a source for a model with inputs of the given shapes (without batch axis)."""

    def make(
        source: DataSource,
        preprocess: Preprocess | None = None,
        dtype: str = "float32",
        out: str = "out",
        shapes: dict[str, tuple[int | None, ...]] | None = None,
        **options: Any,
    ) -> Dataset:
        specs = [
            TensorSpec(name=name, shape=(None, *shape), dtype=dtype)
            for name, shape in (shapes or {"x": (3,)}).items()
        ]
        return materialize(source, preprocess or Preprocess(), specs, tmp_path / out, **options)

    return make
