"""Some samples of a dataset as a dataset of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack.data.dataset import Affine, Dataset, content_digest, mapped
from edgepack.durable import storage_errors


def subset(dataset: Dataset, rows: Sequence[int], directory: Path) -> Dataset:
    """The given samples in the given order, values as stored, written into `directory`.

    Args:
      dataset: where they come from; its findings stay behind.
      rows: numbers of samples, 0 … count - 1.
      directory: existing, for the arrays.

    Raises:
      StorageError: no space, no permission.
    """
    inputs = {
        name: _written(dataset.stored(name)[list(rows)], directory / f"input_{number}.npy")
        for number, name in enumerate(dataset.inputs)
    }
    labels = {
        name: _written(mapped(path)[list(rows)], directory / f"label_{number}.npy")
        for number, (name, path) in enumerate(dataset.labels.items())
    }
    preprocess: dict[str, Affine] = dict(dataset.preprocess)
    return Dataset(
        inputs=inputs,
        labels=labels,
        preprocess=preprocess,
        count=len(rows),
        sha256=content_digest(inputs, labels, preprocess),
        classes=dataset.classes,
    )


def _written(values: npt.NDArray[Any], path: Path) -> Path:
    with storage_errors(path):
        np.save(path, np.ascontiguousarray(values), allow_pickle=False)
    return path
