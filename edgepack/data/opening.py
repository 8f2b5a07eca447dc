"""A source, opened: which arrays it has, known by their headers."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgepack import errors
from edgepack.data.numpy_files import open_npy, open_npz
from edgepack.data.source import DataSource
from edgepack.data.stored import StoredArray
from edgepack.records import TensorSpec

ONLY = ""
"""Name of the array of a source that holds just one."""


@dataclass(frozen=True, kw_only=True)
class OpenedSource:
    """Arrays by name (or the only one, named ""), read when asked for; labels where they lie apart."""

    title: str
    arrays: Mapping[str, Callable[[], StoredArray]]
    labels: Callable[[], StoredArray] | None = None

    @property
    def holds_one(self) -> bool:
        return set(self.arrays) == {ONLY}


@dataclass(frozen=True, kw_only=True)
class Binding:
    """Which array feeds which input, and which are labels (by output name; "" for the metric's)."""

    inputs: Mapping[str, StoredArray]
    labels: Mapping[str, StoredArray]


def open_arrays(source: DataSource) -> OpenedSource:
    """Opens a .npz or .npy by headers."""
    path = Path(source.path or "")
    if source.kind == "npz":
        return OpenedSource(title=path.name, arrays=open_npz(path))
    labels = source.labels_path or (source.labels if isinstance(source.labels, str) else None)
    return OpenedSource(
        title=path.name,
        arrays={ONLY: lambda: open_npy(path)},
        labels=None if labels is None else lambda: open_npy(Path(labels)),
    )


def bind(source: DataSource, opened: OpenedSource, specs: Sequence[TensorSpec]) -> Binding:
    """Finds the array of every model input and of the labels.

    Raises:
      DataError: a name that is not there (with the nearest), an input without array, `inputs` of wrong form.
    """
    names = [spec.name for spec in specs]
    if opened.holds_one:
        if len(names) > 1:
            raise errors.DataError(
                f"{opened.title}: holds one array, but the model has {len(names)} inputs ({listed(names)}); "
                "use a .npz and inputs = { " + ", ".join(f'{name} = "…"' for name in names) + " }"
            )
        if source.inputs is not None:
            raise errors.DataError(
                f"{opened.title}: inputs = {source.inputs!r} names an array, but this kind of source holds "
                "just one; leave the key out"
            )
        labels = {} if opened.labels is None else {"": opened.labels()}
        return Binding(inputs={names[0]: opened.arrays[ONLY]()}, labels=labels)
    wanted = _input_arrays(source, opened, names)
    inputs = {name: _array(opened, wanted[name], "inputs")() for name in names}
    by_output = (
        source.labels if isinstance(source.labels, dict) else {"": source.labels} if source.labels else {}
    )
    labels = {output: _array(opened, array, "labels")() for output, array in by_output.items()}
    return Binding(inputs=inputs, labels=labels)


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
                f"{opened.title}: inputs = {source.inputs!r} names one array, but the model has {len(names)} "
                "inputs; write inputs = { " + ", ".join(f'{name} = "array"' for name in names) + " }; "
                f"arrays here: {listed(opened.arrays)}"
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


def _array(opened: OpenedSource, name: str, key: str) -> Callable[[], StoredArray]:
    try:
        return opened.arrays[name]
    except KeyError:
        raise errors.DataError(
            f"{opened.title}: {key} names the array {name!r}, which is not there; "
            f"{nearest(name, opened.arrays)}"
        ) from None


def nearest(name: str, known: Iterable[str]) -> str:
    """ "did you mean …?" where one is close, and the list of what there is."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return (f"did you mean {close[0]!r}? " if close else "") + f"There is: {listed(names)}"


def listed(names: Iterable[str]) -> str:
    """Quoted names, at most a dozen."""
    quoted = [repr(name) for name in names]
    return ", ".join(quoted[:12]) + (f" and {len(quoted) - 12} more" if len(quoted) > 12 else "")
