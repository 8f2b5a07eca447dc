"""Calibration samples for the converter, bound by input name and never by order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.data import Dataset

Array = npt.NDArray[Any]


def representative(
    dataset: Dataset, specs: Sequence[Any], *, floors: Mapping[str, float], limit: int | None
) -> Callable[[], Iterator[dict[str, Array]]]:
    """A generator function as ``TFLiteConverter.representative_dataset`` wants it.

    Args:
      dataset: calibration samples, preprocessing applied by `Dataset.batches`.
      specs: ``tf.TensorSpec`` of each input as traced; its name is the Keras input name.
      floors: lower clip per input, in place of a mask sentinel that would ruin the range (`narrow_mask`).
      limit: at most so many samples, None for all.
    """
    dtypes = {spec.name: spec.dtype.as_numpy_dtype for spec in specs}
    require(dataset, dtypes)

    def samples() -> Iterator[dict[str, Array]]:
        for batch in dataset.batches(1, limit=limit):
            sample = {}
            for name, dtype in dtypes.items():
                values = np.asarray(batch[name])
                if name in floors:
                    values = np.maximum(values, floors[name])
                sample[name] = np.ascontiguousarray(values.astype(dtype))
            yield sample

    return samples


def require(dataset: Dataset, names: Iterable[str]) -> None:
    """Checks that every input of the model has calibration data.

    Raises:
      DataError: names what is missing and what there is.
    """
    missing = sorted(set(names) - set(dataset.inputs))
    if missing:
        raise errors.DataError(
            f"[data.calibration] has no array for the model input{'s' if len(missing) > 1 else ''} "
            f"{', '.join(missing)}; it has {', '.join(sorted(dataset.inputs))}: name them in its "
            "`inputs` table"
        )
