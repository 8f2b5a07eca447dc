"""The answers and samples that a run kept, read back: a file that anyone may have written."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.data.dataset import Affine, Dataset
from edgepack.durable import storage_errors
from edgepack.pipeline.evidence import SCHEMA

MOST_BYTES: Final = 2_000_000_000
Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What `pipeline.evidence` wrote.

    Attributes:
      metric: as the recipe names it.
      output: the one that the metric looks at.
      classes: names, or () where nobody gave any.
      count: samples of the evaluation data, of which the first `len(before)` are here.
      before: answers of the float model on the judged output, [N, …].
      after: SHA-256 of a .tflite → its answers.
      labels: [N, …] or None.
      rows: numbers of the samples whose inputs are kept, [S].
      inputs: input name → values as stored, [S, …].
      models: SHA-256 of a .tflite → its bytes; "" for the float .tflite.
    """

    metric: str
    output: str
    classes: Sequence[str]
    count: int
    before: Array
    after: Mapping[str, Array]
    labels: Array | None
    rows: Array
    inputs: Mapping[str, Array]
    preprocess: Mapping[str, Affine]
    models: Mapping[str, bytes]

    def class_name(self, number: int) -> str:
        """Its name, else its number."""
        return self.classes[number] if 0 <= number < len(self.classes) else str(number)


def read_evidence(path: Path) -> Evidence:
    """Reads and checks the file.

    Raises:
      BadInputError: not such a file, too large, or arrays that do not fit each other.
      StorageError: it cannot be read.
    """
    with storage_errors(path):
        size = path.stat().st_size
        content = path.read_bytes() if size <= MOST_BYTES else b""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            size = max(size, sum(item.file_size for item in archive.infolist()))
        if size > MOST_BYTES:
            raise errors.BadInputError(f"{path}: {size:,} bytes; at most {MOST_BYTES:,} expected")
        with np.load(io.BytesIO(content), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        return _checked(arrays, path)
    except errors.EdgepackError:
        raise
    except (
        Exception
    ) as error:  # zipfile, zlib, numpy and its tokenizer each have their own for bytes nobody wrote
        raise errors.BadInputError(
            f"{path}: is not what 'edgepack build' keeps for reports: {type(error).__name__}: {error}"
        ) from error


def _checked(arrays: dict[str, Array], path: Path) -> Evidence:
    told = json.loads(arrays["told"].astype(np.uint8).tobytes())
    if told["schema"] != SCHEMA:
        raise errors.BadInputError(
            f"{path}: has the schema {told['schema']!r}; this edgepack reads {SCHEMA!r}"
        )
    before, rows, labels = arrays["float"], arrays["rows"], arrays.get("labels")
    after = {name[8:]: values for name, values in arrays.items() if name.startswith("answers_")}
    models = {name[6:]: values.tobytes() for name, values in arrays.items() if name.startswith("model_")}
    inputs = {str(name): arrays[f"input_{number}"] for number, name in enumerate(told["inputs"])}
    fits = (
        all(values.shape == before.shape for values in after.values())
        and (labels is None or len(labels) == len(before))
        and all(len(values) == len(rows) for values in inputs.values())
        and rows.ndim == 1
        and bool(((rows >= 0) & (rows < len(before))).all())
        and before.ndim >= 1
        and all(_finite(values) for values in (before, *after.values()))
        and set(told["preprocess"]) == set(inputs)
    )
    if not fits:
        raise errors.BadInputError(
            f"{path}: its arrays do not fit each other, or hold no numbers; build again to have it made anew"
        )
    return Evidence(
        metric=str(told["metric"]),
        output=str(told["output"]),
        classes=tuple(str(name) for name in told["classes"]),
        count=int(told["count"]),
        before=before,
        after=after,
        labels=labels,
        rows=rows.astype(np.int64),
        inputs=inputs,
        preprocess={str(name): Affine.from_json(each) for name, each in told["preprocess"].items()},
        models={"": arrays["baseline"].tobytes(), **models},
    )


def _finite(values: Array) -> bool:
    return values.dtype.kind == "f" and bool(np.isfinite(values).all())


def as_dataset(inputs: Mapping[str, Array], preprocess: Mapping[str, Affine], folder: Path) -> Dataset:
    """Samples as a dataset whose files lie in `folder`, over those of the last one there."""
    paths = {}
    for number, (name, values) in enumerate(inputs.items()):
        paths[name] = folder / f"samples_{number}.npy"
        with storage_errors(folder):
            np.save(paths[name], np.ascontiguousarray(values), allow_pickle=False)
    count = len(next(iter(inputs.values())))
    return Dataset(inputs=paths, labels={}, preprocess=dict(preprocess), count=count, sha256="")
