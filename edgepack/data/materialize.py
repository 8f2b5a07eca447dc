"""From a source to a Dataset: decoded, cut to the model's shapes, checked, written once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.data.dataset import Affine, Dataset, Finding, content_digest, mapped
from edgepack.data.fitting import fit_row_shape
from edgepack.data.folders import PictureFolder
from edgepack.data.naming import nearest
from edgepack.data.opening import bind, check_preprocess, open_source, sample_count
from edgepack.data.preprocess import Geometry, Preprocess
from edgepack.data.rows import ArrayRows, Indices, Rows, chunks
from edgepack.data.source import DataSource
from edgepack.data.stored import StoredArray, write_npy
from edgepack.data.values import check_finite, check_scaled, fit_values, stored_dtype
from edgepack.records import TensorSpec

UNPACKED = ".unpacked.npy"


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
    opened = open_source(source, trust_code=trust_code, import_paths=import_paths)
    binding = bind(source, opened, specs)
    rows = source.rows(sample_count(binding, opened.title))
    findings = list(opened.pictures.findings) if opened.pictures is not None else []
    inputs: dict[str, Path] = {}
    for index, spec in enumerate(specs):
        writer = _InputWriter(spec, affines[spec.name], preprocess.of(spec.name), rows, findings)
        inputs[spec.name] = writer.write(binding.inputs[spec.name], directory / f"input_{index}.npy")
    classes = opened.pictures.classes if opened.pictures is not None else source.classes or ()
    if opened.pictures is not None and opened.pictures.class_ids is not None:
        target = directory / "labels_0.npy"
        class_ids = np.asarray(opened.pictures.class_ids, np.int64)[rows]
        write_npy(target, class_ids.shape, class_ids.dtype, [class_ids])
        labels = {"": target}
    else:
        labels = {
            output: _write_labels(array, rows, classes, directory / f"labels_{index}.npy")
            for index, (output, array) in enumerate(binding.labels.items())
        }
    return Dataset(
        inputs=inputs,
        labels=labels,
        preprocess=affines,
        count=len(rows),
        sha256=content_digest(inputs, labels, affines),
        classes=classes,
        findings=tuple(findings),
    )


class _InputWriter:
    """One input: its rows fitted to the model and written."""

    def __init__(
        self, spec: TensorSpec, affine: Affine, geometry: Geometry, rows: Indices, findings: list[Finding]
    ) -> None:
        self._spec = spec
        self._affine = affine
        self._geometry = geometry
        self._rows = rows
        self._findings = findings

    def write(self, array: StoredArray | PictureFolder, target: Path) -> Path:
        if isinstance(array, PictureFolder):
            from edgepack.data.pictures import picture_rows  # Pillow is only paid for by pictures

            pictures = picture_rows(array, self._geometry, self._spec, first_row=int(self._rows[0]))
            shape, dtype = self._fit(pictures)
            write_npy(target, (len(self._rows), *shape), dtype, self._fitted(pictures, shape, dtype))
            return target
        # Headers first: a wrong shape is told before gigabytes are unpacked.
        unread = np.broadcast_to(np.zeros((), array.dtype), array.shape)
        shape, dtype = self._fit(ArrayRows(title=array.title, values=unread, geometry=self._geometry))
        placed = array.place(target.with_suffix(UNPACKED))
        reader = ArrayRows(title=array.title, values=mapped(placed), geometry=self._geometry)
        same = shape == array.shape[1:] and dtype == array.dtype and not self._geometry.changes_pixels
        fitted = self._fitted(reader, shape, dtype)
        return keep(placed, target, self._rows, fitted, same=same, shape=shape, dtype=dtype)

    def _fit(self, reader: Rows) -> tuple[tuple[int, ...], np.dtype[Any]]:
        shape, note = fit_row_shape(reader.title, reader.shape, self._spec)
        if note is not None:
            self._findings.append(Finding(level="note", text=note))
        return shape, stored_dtype(reader.title, reader.dtype, self._spec)

    def _fitted(
        self, reader: Rows, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> Iterator[npt.NDArray[Any]]:
        for chunk in chunks(self._rows, math.prod(reader.shape) * reader.dtype.itemsize):
            values = fit_values(reader.title, reader.read(chunk), dtype, rows=chunk)
            check_scaled(reader.title, values, self._affine)
            yield values.reshape(len(values), *shape)


def _write_labels(array: StoredArray, rows: Indices, classes: tuple[str, ...], target: Path) -> Path:
    placed = array.place(target.with_suffix(UNPACKED))
    values = mapped(placed)
    title = f"{array.title} (labels)"
    if array.dtype.kind == "U":
        ids = _class_ids(title, np.asarray(values[rows]), classes)
        if placed.name.endswith(UNPACKED):
            placed.unlink(missing_ok=True)
        write_npy(target, ids.shape, ids.dtype, [ids])
        return target

    def checked() -> Iterator[npt.NDArray[Any]]:
        for chunk in chunks(rows, values.nbytes // max(1, len(values))):
            check_finite(title, values[chunk], rows=chunk)
            yield values[chunk]

    return keep(placed, target, rows, checked(), same=True, shape=array.shape[1:], dtype=array.dtype)


def _class_ids(title: str, names: npt.NDArray[Any], classes: tuple[str, ...]) -> npt.NDArray[np.int64]:
    if not classes:
        raise errors.DataError(
            f'{title}: are text, such as {str(names.ravel()[0])!r}; give classes = ["…"] in the order '
            "of the model's outputs, or save class ids"
        )
    known = {name: index for index, name in enumerate(classes)}
    for name in np.unique(names):
        if str(name) not in known:
            raise errors.DataError(
                f"{title}: {str(name)!r} is not among `classes`; {nearest(str(name), classes)}"
            )
    return np.asarray([known[str(name)] for name in names.ravel()], np.int64).reshape(names.shape)


def keep(
    placed: Path,
    target: Path,
    rows: Indices,
    fitted: Iterator[npt.NDArray[Any]],
    *,
    same: bool,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> Path:
    """Writes the fitted rows, or keeps the placed file once every row has been looked at and none changed."""
    values = mapped(placed)
    everything = len(rows) == len(values) and bool((rows == np.arange(len(rows))).all())
    is_temporary = placed.name.endswith(UNPACKED)
    try:
        if same and everything and values.flags.c_contiguous and values.dtype == dtype:
            for _ in fitted:
                pass
            return placed.replace(target) if is_temporary else placed
        write_npy(target, (len(rows), *shape), dtype, fitted)
        return target
    finally:
        if is_temporary:
            placed.unlink(missing_ok=True)
