"""What can be said about a source without reading its values: for `edgepack check` and the store's keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgepack import errors
from edgepack.data.code_files import module_files
from edgepack.data.dataset import Finding
from edgepack.data.fitting import check_numeric, fit_row_shape
from edgepack.data.folders import PictureFolder, open_folder
from edgepack.data.numpy_files import unreadable
from edgepack.data.opening import bind, check_preprocess, label_files, open_source, sample_count
from edgepack.data.preprocess import Preprocess
from edgepack.data.source import DataSource
from edgepack.records import TensorSpec, file_sha256

FORMAT = "edgepack.source/1"


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What the headers say.

    Attributes:
      count: samples after `start` and `count`; None for a provider, which is not run.
      has_labels: whether labels are named; None for a provider.
      findings: notes for the user.
    """

    count: int | None
    has_labels: bool | None
    findings: tuple[Finding, ...] = ()


def examine(source: DataSource, preprocess: Preprocess, specs: Sequence[TensorSpec]) -> Examined:
    """Checks names, counts, shapes and dtypes by headers alone; runs no code and reads no values.

    Args:
      source: with absolute paths (`DataSource.resolved`).
      preprocess: as in the recipe.
      specs: the model's inputs.

    Raises:
      DataError: whatever `materialize` would refuse for its names, shapes or dtypes.
    """
    check_preprocess(preprocess, specs)
    for spec in specs:
        preprocess.of(spec.name).affine(spec)
    if source.kind == "provider":
        note = Finding(level="note", text=f"{source.title}: is not run by a check")
        return Examined(count=None, has_labels=None, findings=(note,))
    opened = open_source(source)
    binding = bind(source, opened, specs)
    total = sample_count(binding, opened.title)
    count = len(source.places(total))
    findings = list(opened.pictures.findings) if opened.pictures is not None else []
    for spec in specs:
        array, geometry = binding.inputs[spec.name], preprocess.of(spec.name)
        if isinstance(array, PictureFolder):
            from edgepack.data.pictures import picture_rows  # Pillow is only paid for by pictures

            pictures = picture_rows(array, geometry, spec, first_row=int(source.rows(total)[0]))
            title, shape = array.title, pictures.shape
        else:
            title, shape = array.title, geometry.row_shape(array.shape[1:], array.title)
            check_numeric(title, array.code, spec)
        note_text = fit_row_shape(title, shape, spec)[1]
        if note_text is not None:
            findings.append(Finding(level="note", text=note_text))
    has_labels = bool(binding.labels) or (
        opened.pictures is not None and opened.pictures.class_ids is not None
    )
    return Examined(count=count, has_labels=has_labels, findings=tuple(findings))


def fingerprint(source: DataSource, preprocess: Preprocess, *, import_paths: Sequence[Path] = ()) -> str:
    """Digest of all that decides what `materialize` makes: settings, files' bytes, the provider's source.

    Cheaper than materializing, and independent of where the files lie. Of a provider: its module and the
    modules beside it that it imports; what it reads is its own affair.

    Raises:
      DataError: a file is missing.
      StorageError: a file cannot be read.
    """
    settings = source.model_dump(mode="json", exclude={"path", "labels_path"})
    if source.kind in ("npy", "idx"):
        settings["labels"] = sorted(label_files(source))
    document = {
        "format": FORMAT,
        "kind": source.kind,
        "settings": settings,
        "preprocess": preprocess.model_dump(mode="json"),
        "files": [[name, _digest(path)] for name, path in _files(source, import_paths)],
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _files(source: DataSource, import_paths: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    if source.provider is not None:
        yield from module_files(source.provider, import_paths)
        return
    assert source.path is not None
    path = Path(source.path)
    if source.kind == "folder":
        for file in open_folder(path, source.classes).files:
            yield file.relative_to(path).as_posix(), file
        return
    yield "path", path
    for output, labels in sorted(label_files(source).items()):
        yield f"labels {output}", Path(labels)


def _digest(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise unreadable(path, error) from error


def check_labels(examined: Examined, source: DataSource, *, needed_by: str) -> None:
    """Raises DataError where labels are needed and the source names none."""
    if examined.has_labels is False:
        raise errors.DataError(
            f'{source.title}: has no labels, and {needed_by} needs them; set labels = "array name"'
        )
