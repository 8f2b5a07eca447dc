"""From a source to a Dataset: decoded, cut to the model's shapes, checked, written once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.data.dataset import Affine, Dataset, Finding, content_digest, mapped
from edgepack.data.fitting import check_finite, fit_row_shape, fit_values, stored_dtype
from edgepack.data.opening import Binding, bind, nearest, open_arrays
from edgepack.data.preprocess import Preprocess
from edgepack.data.source import DataSource
from edgepack.data.stored import CHUNK_BYTES, StoredArray, write_npy
from edgepack.records import TensorSpec


def materialize(
    source: DataSource,
    preprocess: Preprocess,
    specs: Sequence[TensorSpec],
    directory: Path,
    *,
    trust_code: bool = False,
    import_paths: Sequence[Path] = (),
) -> Dataset:
    """Reads a source once and leaves .npy files that every later step maps.

    Args:
      source: with absolute paths (`DataSource.resolved`).
      preprocess: pictures are resized here; scale and offset are applied when batches are drawn.
      specs: the model's inputs, batch axis first.
      directory: receives the files; a .npy that needs no change is used where it lies.
      trust_code: whether a provider may run.
      import_paths: where a provider's module is looked for.

    Returns:
      A dataset whose arrays have the model's shapes, finite values and equal counts.

    Raises:
      DataError: anything wrong with the data; names the file, the array and the first bad row.
      TrustError: a provider without `trust_code`.
      StorageError: the disk.
    """
    check_preprocess(preprocess, specs)
    affines = {spec.name: preprocess.of(spec.name).affine(spec) for spec in specs}
    binding = bind(source, open_arrays(source), specs)
    rows = source.rows(sample_count(binding, source.title))
    findings: list[Finding] = []
    inputs: dict[str, Path] = {}
    for index, spec in enumerate(specs):
        target = directory / f"input_{index}.npy"
        inputs[spec.name] = _write_input(
            binding.inputs[spec.name], spec, affines[spec.name], rows, target, findings
        )
    labels = {
        output: _write_labels(array, rows, directory / f"labels_{index}.npy")
        for index, (output, array) in enumerate(binding.labels.items())
    }
    return Dataset(
        inputs=inputs,
        labels=labels,
        preprocess=affines,
        count=len(rows),
        sha256=content_digest(inputs, labels, affines),
        classes=source.classes or (),
        findings=tuple(findings),
    )


def check_preprocess(preprocess: Preprocess, specs: Sequence[TensorSpec]) -> None:
    """Raises DataError where a `[preprocess.name]` table names no input of the model."""
    names = [spec.name for spec in specs]
    for name in preprocess.inputs:
        if name not in names:
            raise errors.DataError(
                f"[preprocess.{name}] is not an input of the model; {nearest(name, names)}"
            )


def sample_count(binding: Binding, title: str) -> int:
    """Samples that all arrays agree on.

    Raises:
      DataError: they do not.
    """
    counts = {array.title: array.shape[0] for array in (*binding.inputs.values(), *binding.labels.values())}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise errors.DataError(f"{title}: inputs and labels must have equally many samples; {shown}")
    return next(iter(counts.values()))


def _write_input(
    array: StoredArray,
    spec: TensorSpec,
    affine: Affine,
    rows: npt.NDArray[np.int64],
    target: Path,
    findings: list[Finding],
) -> Path:
    row_shape, note = fit_row_shape(array.title, array.shape[1:], spec)
    if note is not None:
        findings.append(Finding(level="note", text=note))
    dtype = stored_dtype(array.title, array.dtype, spec)
    placed = array.place(target.with_suffix(".unpacked.npy"))
    values = mapped(placed)

    def fitted() -> Iterator[npt.NDArray[Any]]:
        for chunk in _chunks(values, rows):
            good = fit_values(array.title, values[chunk], dtype, first_row=int(chunk[0]))
            check_scaled(array.title, good, affine)
            yield good.reshape(len(good), *row_shape)

    as_is = row_shape == array.shape[1:] and dtype == array.dtype and _is_everything(rows, len(values))
    return _keep(placed, target, values, fitted(), as_is=as_is, shape=(len(rows), *row_shape), dtype=dtype)


def _write_labels(array: StoredArray, rows: npt.NDArray[np.int64], target: Path) -> Path:
    placed = array.place(target.with_suffix(".unpacked.npy"))
    values = mapped(placed)

    def checked() -> Iterator[npt.NDArray[Any]]:
        for chunk in _chunks(values, rows):
            good = values[chunk]
            check_finite(f"{array.title} (labels)", good, first_row=int(chunk[0]))
            yield good

    as_is = _is_everything(rows, len(values))
    return _keep(
        placed, target, values, checked(), as_is=as_is, shape=(len(rows), *array.shape[1:]), dtype=array.dtype
    )


def _keep(
    placed: Path,
    target: Path,
    values: npt.NDArray[Any],
    chunks: Iterator[npt.NDArray[Any]],
    *,
    as_is: bool,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Path:
    """Writes the chunks, or keeps the file as it is once every chunk has been looked at."""
    is_temporary = placed.name.endswith(".unpacked.npy") and placed.parent == target.parent
    try:
        if as_is and values.flags.c_contiguous:
            for _ in chunks:
                pass
            return placed.replace(target) if is_temporary else placed
        write_npy(target, shape, dtype, chunks)
        return target
    finally:
        if is_temporary:
            placed.unlink(missing_ok=True)


def check_scaled(title: str, values: npt.NDArray[Any], affine: Affine) -> None:
    """Raises DataError where scaling leaves the range of float32."""
    if values.dtype.kind == "f" and not affine.is_identity and values.size:
        largest = float(np.abs(values).max()) * float(np.abs(affine.scale).max()) + float(
            np.abs(affine.offset).max()
        )
        if largest > float(np.finfo(np.float32).max):
            raise errors.DataError(
                f"{title}: values up to {np.abs(values).max():g} overflow float32 after [preprocess]"
            )


def _chunks(values: npt.NDArray[Any], rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.int64]]:
    step = max(1, CHUNK_BYTES // max(1, values.nbytes // max(1, len(values))))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _is_everything(rows: npt.NDArray[np.int64], total: int) -> bool:
    return len(rows) == total and bool(np.array_equal(rows, np.arange(total)))
