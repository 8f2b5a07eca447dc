"""What layer statistics are measured on: calibration samples, or made-up inputs where there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from edgepack.backend import id_inputs, walk
from edgepack.backend.representative import require
from edgepack.data import Dataset

FREE_SIDE: Final = 32
"""Length of a free dimension of made-up inputs."""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Rows by input name.

    Attributes:
      count: how many there are.
      made_up: whether nobody's data stand behind them.
    """

    count: int
    made_up: bool
    dtypes: Mapping[str, Any]
    dataset: Dataset | None
    arrays: Mapping[str, np.ndarray]

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Samples start … stop-1, in the dtypes of the model's inputs."""
        found = (
            self.dataset.rows(start, stop)
            if self.dataset is not None
            else {name: array[start:stop] for name, array in self.arrays.items()}
        )
        return {name: np.ascontiguousarray(found[name], dtype) for name, dtype in self.dtypes.items()}


def samples_of(model: Any, calibration: Mapping[str, Any] | None, limit: int, seed: int) -> Samples:
    """At most `limit` samples for a live model.

    Args:
      calibration: ``Dataset.to_json()``; None for made-up inputs: standard normal, ids uniform over their table.
      seed: of made-up inputs.

    Raises:
      DataError: an input of the model has no array.
    """
    dtypes = {
        name: tensor.dtype.as_numpy_dtype
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    }
    if calibration is not None:
        dataset = Dataset.from_json(calibration)
        require(dataset, dtypes)
        count = min(limit, dataset.count)
        return Samples(count=count, made_up=False, dtypes=dtypes, dataset=dataset, arrays={})
    count = min(limit, 256)
    random = np.random.default_rng(seed)
    pure, mixed = id_inputs.find(model)
    arrays: dict[str, np.ndarray] = {}
    for name, tensor in zip(model.input_names, model.inputs, strict=True):
        shape = (count, *(side or FREE_SIDE for side in tensor.shape[1:]))
        if name in (*pure, *mixed):
            arrays[name] = random.integers(0, _rows(model), shape)
        else:
            arrays[name] = random.normal(size=shape)
    return Samples(count=count, made_up=True, dtypes=dtypes, dataset=None, arrays=arrays)


def _rows(model: Any) -> int:
    """Rows of the smallest table that ids look into."""
    tables = [node.layer for node in walk.nodes(model) if type(node.layer).__name__ in id_inputs.READERS]
    sizes = [getattr(layer, "input_dim", None) or getattr(layer, "num_tokens", None) or 2 for layer in tables]
    return min(sizes, default=2)
