"""Rows ready to be fed to a model: arrays on disk, scaled on the way out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgepack import errors

if TYPE_CHECKING:
    import numpy.typing as npt

Level = Literal["error", "warning", "note"]
DIGEST_CHUNK_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about the data that the user should know.

    Attributes:
      level: "error" (the build should stop), "warning" (results will suffer) or "note".
      text: one plain sentence.
    """

    level: Level
    text: str


@dataclass(frozen=True, kw_only=True)
class Affine:
    """What `[preprocess]` does to stored values: ``x * scale + offset``, in float32.

    Attributes:
      scale, offset: a number, or one number per channel of the last axis.
      dtype: numpy name of what comes out: "float32", or the integer dtype that the model's input declares
        (ids; such inputs are never scaled).

    Example:
      >>> import numpy as np
      >>> Affine(scale=0.5, offset=1.0).apply(np.array([[2, 4]], np.uint8))
      array([[2., 3.]], dtype=float32)
    """

    scale: float | tuple[float, ...] = 1.0
    offset: float | tuple[float, ...] = 0.0
    dtype: str = "float32"

    @property
    def is_identity(self) -> bool:
        """Whether values pass unchanged."""
        return set(_each(self.scale)) <= {1.0} and set(_each(self.offset)) <= {0.0}

    def apply(self, stored: npt.ArrayLike) -> npt.NDArray[Any]:
        """Scaled copy of `stored`, any shape whose last axis fits the channels."""
        import numpy as np  # here and below: a check applies nothing

        array = np.asarray(stored)
        if self.dtype != "float32":
            return array.astype(self.dtype)
        values = array.astype(np.float32)
        if not self.is_identity:
            values *= np.asarray(self.scale, np.float32)
            values += np.asarray(self.offset, np.float32)
        return values

    def to_json(self) -> dict[str, Any]:
        return {"scale": _plain(self.scale), "offset": _plain(self.offset), "dtype": self.dtype}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Affine:
        return cls(
            scale=_tupled(document["scale"]), offset=_tupled(document["offset"]), dtype=document["dtype"]
        )


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples of one source, decoded and checked, as files that any process can map.

    Attributes:
      inputs: Keras input name → .npy, first axis samples; values as stored, before `preprocess`.
      labels: {} none; {"": path} for the output that the metric looks at; or output name → path.
      preprocess: Keras input name → `Affine`.
      count: samples.
      sha256: digest of arrays, labels and preprocess (not of paths).
      classes: names of the classes where the source knows them (image folders), else ().
      findings: what was changed or noticed while reading.
    """

    inputs: Mapping[str, Path]
    labels: Mapping[str, Path]
    preprocess: Mapping[str, Affine]
    count: int
    sha256: str
    classes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = field(default=(), compare=False)

    def stored(self, name: str) -> npt.NDArray[Any]:
        """Input `name` as stored, memory-mapped, [count, …], before `preprocess`."""
        return mapped(self.inputs[name])

    def rows(self, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
        """Samples start … stop-1 of every input, preprocessed: float32 or the model's integer dtype."""
        return {name: self.preprocess[name].apply(self.stored(name)[start:stop]) for name in self.inputs}

    def batches(self, size: int, *, limit: int | None = None) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Consecutive batches of at most `size` samples, preprocessed, of the first `limit` samples."""
        if size < 1:
            raise errors.DataError(f"batch size is {size}; expected at least 1")
        end = self.count if limit is None else min(limit, self.count)
        stored = {name: self.stored(name) for name in self.inputs}
        for start in range(0, end, size):
            stop = min(start + size, end)
            yield {name: self.preprocess[name].apply(array[start:stop]) for name, array in stored.items()}

    def label(self, output: str = "") -> npt.NDArray[Any] | None:
        """Labels of an output, [count, …], memory-mapped; None where there are none.

        Labels given without an output name serve every output; "" finds the only labels there are.
        """
        path = self.labels.get(output)
        if path is None and output:
            path = self.labels.get("")
        if path is None and not output and len(self.labels) == 1:
            path = next(iter(self.labels.values()))
        return None if path is None else mapped(path)

    def to_json(self) -> dict[str, Any]:
        """JSON object with absolute paths: how backend operations receive a dataset."""
        return {
            "inputs": {name: str(path.absolute()) for name, path in self.inputs.items()},
            "labels": {name: str(path.absolute()) for name, path in self.labels.items()},
            "preprocess": {name: affine.to_json() for name, affine in self.preprocess.items()},
            "count": self.count,
            "sha256": self.sha256,
            "classes": list(self.classes),
            "findings": [{"level": finding.level, "text": finding.text} for finding in self.findings],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Dataset:
        """Inverse of `to_json`."""
        return cls(
            inputs={name: Path(path) for name, path in document["inputs"].items()},
            labels={name: Path(path) for name, path in document["labels"].items()},
            preprocess={name: Affine.from_json(affine) for name, affine in document["preprocess"].items()},
            count=document["count"],
            sha256=document["sha256"],
            classes=tuple(document.get("classes", ())),
            findings=tuple(Finding(**finding) for finding in document.get("findings", ())),
        )


def mapped(path: Path) -> npt.NDArray[Any]:
    """Array of a .npy, memory-mapped read-only (an empty or scalar array is read)."""
    import numpy as np

    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise errors.StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise errors.DataError(f"{path}: is not a readable .npy array: {error}") from error
    return array


def content_digest(
    inputs: Mapping[str, Path], labels: Mapping[str, Path], preprocess: Mapping[str, Affine]
) -> str:
    """SHA-256 over names, dtypes, shapes and values of all arrays, and the preprocessing."""
    import numpy as np

    digest = hashlib.sha256(b"edgepack.dataset/1\0")
    for role, paths in (("input", inputs), ("label", labels)):
        for name in sorted(paths):
            array = mapped(paths[name])
            head = [role, name, array.dtype.str, list(array.shape)]
            digest.update(json.dumps(head, ensure_ascii=True).encode() + b"\n")
            row_bytes = max(1, array.nbytes // max(1, len(array)))
            step = max(1, DIGEST_CHUNK_BYTES // row_bytes)
            for start in range(0, len(array), step):
                digest.update(np.ascontiguousarray(array[start : start + step]).data)
    settings = {name: affine.to_json() for name, affine in preprocess.items()}
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()


def _each(value: float | tuple[float, ...]) -> tuple[float, ...]:
    return value if isinstance(value, tuple) else (value,)


def _plain(value: float | tuple[float, ...]) -> float | list[float]:
    return list(value) if isinstance(value, tuple) else value


def _tupled(value: float | list[float]) -> float | tuple[float, ...]:
    return tuple(value) if isinstance(value, list) else value
