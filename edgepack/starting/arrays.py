"""Which array of a file feeds which input of the model, and which holds the labels."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.data import DataSource
from edgepack.data.dataset import mapped
from edgepack.data.fitting import fit_row_shape
from edgepack.data.numpy_files import open_npz
from edgepack.data.opening import open_source
from edgepack.data.stored import StoredArray
from edgepack.starting.files import DataFile
from edgepack.starting.model_seen import InputSeen, ModelSeen

LABEL_NAMES: Final = ("y", "labels", "label", "targets", "target", "classes", "class", "t")
INPUT_NAMES: Final = ("x", "inputs", "input", "images", "image", "data", "features")
MAXIMUM_CANDIDATES: Final = 12
MAXIMUM_ARRANGEMENTS: Final = 5_000


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A source that fits the model.

    Attributes:
      source: with an absolute path.
      count: samples.
      labels: all of them; None where the source has none.
      reasons: why these arrays.
    """

    file: DataFile
    source: DataSource
    count: int
    labels: npt.NDArray[Any] | None
    reasons: tuple[str, ...] = ()
    labels_name: str | None = None
    classes: tuple[str, ...] = ()


def bound(file: DataFile, model: ModelSeen) -> Bound:
    """Finds the arrays of every input and of the labels.

    Raises:
      DataError: no arrangement of the file's arrays fits the model's inputs.
    """
    if file.kind == "npz":
        return _of_archive(file, model)
    labels_file = str(file.labels) if file.labels is not None else None
    source = DataSource(path=str(file.path), labels_path=labels_file)
    opened = open_source(source)
    if opened.pictures is not None:
        pictures = opened.pictures
        reason = (f"folders are the classes: {len(pictures.classes)}",) if pictures.classes else ()
        return Bound(
            file=file,
            source=source,
            count=len(pictures.files),
            labels=None if pictures.class_ids is None else np.asarray(pictures.class_ids, np.int64),
            reasons=reason,
            classes=pictures.classes,
        )
    _single_input(file, model)
    array = next(iter(opened.arrays.values()))()
    fit_row_shape(array.title, array.shape[1:], model.inputs[0].spec)
    labels = _values(opened.labels[""]()) if labels_file is not None else None
    beside = (f"labels: {file.labels.name} lies beside it",) if file.labels is not None else ()
    return Bound(file=file, source=source, count=array.shape[0], labels=labels, reasons=beside)


def _single_input(file: DataFile, model: ModelSeen) -> None:
    if len(model.inputs) > 1:
        names = ", ".join(spec.name for spec in model.specs)
        raise errors.DataError(
            f"{file.path.name}: holds one array, but the model has the inputs {names}; put them into one .npz"
        )


def _of_archive(file: DataFile, model: ModelSeen) -> Bound:
    arrays = {name: header for name, opener in open_npz(file.path).items() if (header := _header(opener))}
    chosen = _arranged(file, arrays, model)
    count = arrays[next(iter(chosen.values()))].shape[0]
    rest = {
        name: array
        for name, array in arrays.items()
        if name not in chosen.values() and array.shape[0] == count and array.dtype.kind in "biufU"
    }
    label = _label_name(rest)
    names: str | dict[str, str] = chosen
    if len(chosen) == 1:
        names = next(iter(chosen.values()))
    reasons = [
        f'array "{array}" feeds input "{name}": {_why(arrays[array])}' for name, array in chosen.items()
    ]
    return Bound(
        file=file,
        source=DataSource(path=str(file.path), inputs=names, labels=label),
        count=count,
        labels=_values(arrays[label]) if label is not None else None,
        labels_name=label,
        reasons=tuple(reasons),
    )


def _why(array: StoredArray) -> str:
    return f"{array.dtype} {list(array.shape)}"


def _header(opener: Callable[[], StoredArray]) -> StoredArray | None:
    """None for what no array of samples can be: a single number, Python objects."""
    try:
        return opener()
    except errors.DataError:
        return None


def _arranged(file: DataFile, arrays: Mapping[str, StoredArray], model: ModelSeen) -> dict[str, str]:
    """Model input → array: by name, else the first arrangement that fits shapes and vocabularies."""
    if all(spec.name in arrays and _fits(arrays[spec.name], seen) for spec, seen in _pairs(model)):
        return {spec.name: spec.name for spec in model.specs}
    candidates = [
        [name for name in _ordered(arrays) if _fits(arrays[name], each)][:MAXIMUM_CANDIDATES]
        for each in model.inputs
    ]
    highest: dict[str, float] = {}
    arrangements = itertools.islice(itertools.product(*candidates), MAXIMUM_ARRANGEMENTS)
    for arrangement in arrangements:
        if len(set(arrangement)) < len(arrangement):
            continue
        if len({arrays[name].shape[0] for name in arrangement}) > 1:
            continue
        if all(
            _within(arrays, name, each.vocabulary, highest)
            for name, each in zip(arrangement, model.inputs, strict=True)
        ):
            return dict(zip((spec.name for spec in model.specs), arrangement, strict=True))
    wanted = ", ".join(f"{spec.name} {list(spec.shape[1:])}" for spec in model.specs)
    there = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
    raise errors.DataError(
        f"{file.path.name}: no arrays fit the model's inputs ({wanted}); it holds {there or 'none'}; save one array "
        "for each input, samples on the first axis"
    )


def _pairs(model: ModelSeen) -> list[tuple[Any, InputSeen]]:
    return [(each.spec, each) for each in model.inputs]


def _ordered(arrays: Mapping[str, StoredArray]) -> list[str]:
    """Names that say "input" first, names that say "label" last, the rest in the order of the file."""

    def rank(name: str) -> int:
        lowered = name.lower()
        if lowered in INPUT_NAMES:
            return 0
        return 2 if lowered in LABEL_NAMES else 1

    return sorted(arrays, key=rank)


def _fits(array: StoredArray, each: InputSeen) -> bool:
    if array.dtype.kind not in "biuf":
        return False
    try:
        fit_row_shape(array.title, array.shape[1:], each.spec)
    except errors.DataError:
        return False
    return True


def _within(
    arrays: Mapping[str, StoredArray], name: str, vocabulary: int | None, highest: dict[str, float]
) -> bool:
    """Whether all values of an array are ids that the Embedding behind the input knows."""
    if vocabulary is None:
        return True
    if name not in highest:
        values = _values(arrays[name])
        highest[name] = float(values.max()) if values.size else 0.0
    return highest[name] < vocabulary


def _label_name(rest: Mapping[str, StoredArray]) -> str | None:
    by_name = {name.lower(): name for name in rest}
    for known in LABEL_NAMES:
        if known in by_name:
            return by_name[known]
    numeric = [name for name, array in rest.items() if array.dtype.kind in "biuf"]
    return numeric[0] if len(numeric) == 1 else None


def _values(array: StoredArray) -> npt.NDArray[Any]:
    with tempfile.TemporaryDirectory(prefix="edgepack-init-") as folder:
        return np.array(mapped(array.place(Path(folder) / "array.npy")))
