"""A source, opened: which arrays it has, known by their headers, and which of them the model wants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgepack import errors
from edgepack.data.folders import PictureFolder, open_folder
from edgepack.data.idx import open_idx
from edgepack.data.naming import listed, nearest
from edgepack.data.numpy_files import open_npy, open_npz
from edgepack.data.preprocess import Preprocess
from edgepack.data.source import DataSource
from edgepack.data.stored import StoredArray
from edgepack.records import TensorSpec

ONLY = ""
"""Name of the array of a source that holds just one."""


@dataclass(frozen=True, kw_only=True)
class OpenedSource:
    """Arrays by name (or the only one, named ""), read by header when asked for.

    Attributes:
      arrays: empty where there are pictures.
      labels: by output name, where the source itself says which arrays are labels.
      pictures: a folder of them.
    """

    title: str
    arrays: Mapping[str, Callable[[], StoredArray]] = field(default_factory=dict)
    labels: Mapping[str, Callable[[], StoredArray]] = field(default_factory=dict)
    pictures: PictureFolder | None = None


@dataclass(frozen=True, kw_only=True)
class Binding:
    """Which array feeds which input, and which are labels (by output name; "" for the metric's)."""

    inputs: Mapping[str, StoredArray | PictureFolder]
    labels: Mapping[str, StoredArray]


def open_source(
    source: DataSource, *, trust_code: bool = False, import_paths: Sequence[Path] = ()
) -> OpenedSource:
    """Opens a source by its headers; a provider is run.

    Raises:
      DataError: no such file, damaged, or not of the kind that its name says.
      TrustError: a provider without `trust_code`.
    """
    if source.kind == "provider":
        from edgepack.data.provider import call_provider  # it hands over real arrays, so numpy is needed

        arrays, labels = call_provider(source, trust_code=trust_code, import_paths=import_paths)
        return OpenedSource(title=source.title, arrays=arrays, labels=labels)
    assert source.path is not None
    path = Path(source.path)
    _refuse_misplaced_keys(source, path)
    if source.kind == "npz":
        return OpenedSource(title=path.name, arrays=open_npz(path))
    if source.kind == "folder":
        return OpenedSource(title=path.name, pictures=open_folder(path, source.classes))
    open_file = open_npy if source.kind == "npy" else open_idx
    return OpenedSource(
        title=path.name,
        arrays={ONLY: lambda: open_file(path)},
        labels={name: _opener(Path(file)) for name, file in label_files(source).items()},
    )


def label_files(source: DataSource) -> dict[str, str]:
    """Files of labels beside a .npy or IDX file, by output name."""
    if source.kind not in ("npy", "idx"):
        return {}
    if source.labels_path is not None:
        return {"": source.labels_path}
    return source.labels if isinstance(source.labels, dict) else {"": source.labels} if source.labels else {}


def _opener(path: Path) -> Callable[[], StoredArray]:
    return (lambda: open_npy(path)) if path.suffix.lower() == ".npy" else (lambda: open_idx(path))


def _refuse_misplaced_keys(source: DataSource, path: Path) -> None:
    if source.labels_path is not None and source.kind not in ("npy", "idx"):
        raise errors.DataError(f"{path.name}: labels_path is for .npy and IDX files; here use labels")
    if source.kind == "folder" and path.is_dir() and (source.labels is not None or source.inputs is not None):
        raise errors.DataError(
            f"{path.name}: a folder of pictures has no named arrays (its labels are the folder names); "
            "leave `inputs` and `labels` out"
        )


def bind(source: DataSource, opened: OpenedSource, specs: Sequence[TensorSpec]) -> Binding:
    """Finds the array of every model input and of the labels.

    Raises:
      DataError: a name that is not there (with the nearest), an input without array, `inputs` of wrong form.
    """
    names = [spec.name for spec in specs]
    if opened.pictures is not None or set(opened.arrays) == {ONLY}:
        _check_single_input(source, opened, names)
        only = opened.pictures if opened.pictures is not None else opened.arrays[ONLY]()
        return Binding(
            inputs={names[0]: only}, labels={output: opener() for output, opener in opened.labels.items()}
        )
    wanted = _input_arrays(source, opened, names)
    inputs = {name: _array(opened, wanted[name], "inputs")() for name in names}
    by_output = (
        source.labels if isinstance(source.labels, dict) else {"": source.labels} if source.labels else {}
    )
    labels = {output: _array(opened, array, "labels")() for output, array in by_output.items()}
    return Binding(
        inputs=inputs, labels=labels or {output: opener() for output, opener in opened.labels.items()}
    )


def _check_single_input(source: DataSource, opened: OpenedSource, names: Sequence[str]) -> None:
    if len(names) > 1:
        raise errors.DataError(
            f"{opened.title}: holds one array, but the model has {len(names)} inputs; "
            f"use a .npz and {_table(names)}"
        )
    if source.inputs is not None:
        raise errors.DataError(
            f"{opened.title}: inputs = {source.inputs!r} names an array, but this kind of source holds "
            "just one; leave the key out"
        )


def _input_arrays(source: DataSource, opened: OpenedSource, names: Sequence[str]) -> dict[str, str]:
    if isinstance(source.inputs, dict):
        for name in source.inputs:
            if name not in names:
                raise errors.DataError(
                    f"{opened.title}: inputs names {name!r}, which is no input of the model; "
                    f"{nearest(name, names)}"
                )
        missing = [name for name in names if name not in source.inputs]
        if missing:
            raise errors.DataError(
                f"{opened.title}: inputs gives no array for the model input {listed(missing)}"
            )
        return source.inputs
    if isinstance(source.inputs, str):
        if len(names) > 1:
            raise errors.DataError(
                f"{opened.title}: inputs = {source.inputs!r} names one array, but the model has "
                f"{len(names)} inputs; write {_table(names)}; arrays here: {listed(opened.arrays)}"
            )
        return {names[0]: source.inputs}
    if all(name in opened.arrays for name in names):
        return {name: name for name in names}
    if len(names) == 1 and "x" in opened.arrays:
        return {names[0]: "x"}
    raise errors.DataError(
        f"{opened.title}: no key `inputs` says which array feeds the model's {listed(names)}; "
        f"arrays here: {listed(opened.arrays)}"
    )


def _table(names: Sequence[str]) -> str:
    return "inputs = { " + ", ".join(f'{name} = "array name"' for name in names) + " }"


def _array(opened: OpenedSource, name: str, key: str) -> Callable[[], StoredArray]:
    if name not in opened.arrays:
        raise errors.DataError(
            f"{opened.title}: {key} names the array {name!r}, which is not there; "
            f"{nearest(name, opened.arrays)}"
        )
    return opened.arrays[name]


def check_preprocess(preprocess: Preprocess, specs: Sequence[TensorSpec]) -> None:
    """Raises DataError where a `[preprocess.name]` table names no input of the model."""
    names = [spec.name for spec in specs]
    for name in preprocess.inputs:
        if name not in names:
            raise errors.DataError(f"[preprocess.{name}] is no input of the model; {nearest(name, names)}")


def sample_count(binding: Binding, title: str) -> int:
    """Samples that all arrays agree on.

    Raises:
      DataError: they do not.
    """
    counts: dict[str, int] = {}
    for array in (*binding.inputs.values(), *binding.labels.values()):
        counts[array.title] = len(array.files) if isinstance(array, PictureFolder) else array.shape[0]
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name}: {count}" for name, count in counts.items())
        raise errors.DataError(f"{title}: inputs and labels must have equally many samples; {shown}")
    return next(iter(counts.values()))
