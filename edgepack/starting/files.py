"""Which of the user's files are which: training, calibration or evaluation data, and where their labels lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from edgepack import errors
from edgepack.data import DataSource
from edgepack.data.folders import SUFFIXES

Role = Literal["training", "calibration", "evaluation"]
ROLES: Final[tuple[Role, ...]] = ("training", "calibration", "evaluation")

_WORDS: Final[dict[Role, tuple[str, ...]]] = {
    "training": ("train",),
    "calibration": ("calib", "repres"),
    "evaluation": ("test", "eval", "val", "hold", "dev", "t10k"),
}
_LABEL_WORDS: Final = ("y", "label", "labels", "target", "targets", "classes")


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file or folder of samples.

    Attributes:
      role: what its name says it is for; None where it says nothing.
      labels: file of the labels beside a .npy or IDX file.
      classes: names of the class folders, where it is a folder of pictures.
    """

    path: Path
    role: Role | None
    labels: Path | None = None
    classes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return DataSource(path=str(self.path)).kind


def found(paths: Sequence[Path]) -> tuple[DataFile, ...]:
    """The sources that some paths hold: files as they are, folders opened.

    Raises:
      DataError: a path that does not exist, or a folder without data.
    """
    files: list[DataFile] = []
    for path in paths:
        if not path.exists():
            raise errors.DataError(
                f"{path}: no such file; give --data a .npz, .npy, IDX file or a folder of pictures"
            )
        inside = _in_folder(path) if path.is_dir() else _paired([path])
        if not inside:
            raise errors.DataError(
                f"{path}: holds neither .npz, .npy or IDX files nor pictures ({', '.join(SUFFIXES)}); "
                "give --data the data itself"
            )
        files += inside
    seen: dict[Path, DataFile] = {}
    for file in files:
        seen.setdefault(file.path.resolve(), file)
    claimed = {file.labels.resolve() for file in files if file.labels is not None}
    return tuple(file for path, file in seen.items() if path not in claimed)


def beside(model: Path) -> tuple[DataFile, ...]:
    """Data files in the folder of the model: looked for where the user names none."""
    folder = model.resolve().parent
    return _paired(sorted(path for path in folder.iterdir() if path.is_file() and _is_arrays(path)))


def _in_folder(folder: Path) -> tuple[DataFile, ...]:
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    arrays = [entry for entry in entries if entry.is_file() and _is_arrays(entry)]
    if arrays:
        return _paired(arrays)
    roles = [entry for entry in entries if entry.is_dir() and role_of(entry) is not None]
    if len(roles) >= 2 or (roles and len(roles) == sum(entry.is_dir() for entry in entries)):
        return tuple(file for entry in roles for file in _pictures(entry, role_of(entry)))
    return _pictures(folder, role_of(folder))


def _pictures(folder: Path, role: Role | None) -> tuple[DataFile, ...]:
    classes = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
    if not any(entry.suffix.lower() in SUFFIXES for entry in folder.rglob("*")):
        return ()
    return (DataFile(path=folder, role=role, classes=tuple(classes)),)


def _is_arrays(path: Path) -> bool:
    kind = DataSource(path=path.name).kind
    return kind in ("npz", "npy") or (kind == "idx" and "idx" in path.name.lower())


def _paired(paths: Iterable[Path]) -> tuple[DataFile, ...]:
    """Files of inputs with those of their labels; a labels file alone is left out where its inputs are there."""
    listed = list(paths)
    made = [DataFile(path=path, role=role_of(path), labels=_labels_of(path)) for path in listed]
    taken = {file.labels for file in made if file.labels is not None}
    return tuple(file for file in made if file.path not in taken)


def _labels_of(path: Path) -> Path | None:
    """The file beside a .npy or IDX file whose name differs by saying "labels" (or y) for "images" (or x)."""
    if DataSource(path=path.name).kind not in ("npy", "idx") or _is_labels(path):
        return None
    for entry in sorted(path.parent.iterdir()):
        named = entry != path and entry.is_file() and _is_arrays(entry) and _is_labels(entry)
        if named and role_of(entry) == role_of(path):
            return entry
    return None


def _is_labels(path: Path) -> bool:
    return any(word in _LABEL_WORDS for word in _words(path))


def role_of(path: Path) -> Role | None:
    """What a name says the data are for.

    Example:
      >>> role_of(Path("x_train.npy")), role_of(Path("t10k-images-idx3-ubyte.gz")), role_of(Path("data.npz"))
      ('training', 'evaluation', None)
    """
    words = _words(path)
    for role, beginnings in _WORDS.items():
        if any(word.startswith(beginnings) for word in words):
            return role
    return None


def _words(path: Path) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", path.name.lower()) if word]
