"""A dataset from plain arrays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edgepack.data.dataset import Affine, Dataset

MakeDataset = Callable[..., Dataset]


@pytest.fixture
def dataset(tmp_path: Path) -> MakeDataset:
    """`dataset(name=array, …, scale=…)`: a Dataset whose inputs lie in the test's folder."""

    def make(*, scale: float = 1.0, dtype: str = "float32", **arrays: npt.NDArray[Any]) -> Dataset:
        paths = {}
        for name, array in arrays.items():
            paths[name] = tmp_path / f"{name}.npy"
            np.save(paths[name], array)
        preprocess = {name: Affine(scale=scale, dtype=dtype) for name in arrays}
        count = len(next(iter(arrays.values())))
        return Dataset(inputs=paths, labels={}, preprocess=preprocess, count=count, sha256="0" * 64)

    return make
