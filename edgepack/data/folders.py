"""A folder of pictures: one folder per class, or pictures without labels. Only listed here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgepack import errors
from edgepack.data.dataset import Finding
from edgepack.data.naming import listed, nearest
from edgepack.data.numpy_files import unreadable

SUFFIXES: Final = (".bmp", ".jpeg", ".jpg", ".png")


@dataclass(frozen=True, kw_only=True)
class PictureFolder:
    """Files in the order of their classes, then names.

    Attributes:
      title: how messages call the folder.
      files: one per sample.
      class_ids: of each file; None for a folder without class folders.
      classes: names, in the order of the ids.
      findings: what was left out.
    """

    title: str
    files: tuple[Path, ...]
    class_ids: tuple[int, ...] | None
    classes: tuple[str, ...]
    findings: tuple[Finding, ...]


def open_folder(path: Path, classes: tuple[str, ...] | None = None) -> PictureFolder:
    """Lists a folder; nothing is decoded.

    Args:
      path: has one folder per class, or pictures directly (then there are no labels).
      classes: folder names in the order of the model's outputs; sorted names where None.

    Raises:
      DataError: no such folder, no pictures, a class without folder.
    """
    try:
        entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    except NotADirectoryError:
        raise errors.DataError(
            f"{path.name}: is no kind of data that edgepack reads; "
            "expected .npz, .npy, IDX (.gz), or a folder of pictures"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from error
    folders = {entry.name: entry for entry in entries if entry.is_dir()}
    if not folders:
        files = tuple(entry for entry in entries if entry.suffix.lower() in SUFFIXES)
        if not files:
            raise errors.DataError(
                f"{path}: holds no pictures ({', '.join(SUFFIXES)}) and no folders of them"
            )
        note = Finding(
            level="note", text=f"{path.name}: has no class folders, so its pictures have no labels"
        )
        return PictureFolder(title=path.name, files=files, class_ids=None, classes=(), findings=(note,))
    names = classes or tuple(sorted(folders))
    for name in names:
        if name not in folders:
            raise errors.DataError(f"{path}: has no folder for the class {name!r}; {nearest(name, folders)}")
    return _listed_classes(path, names, folders)


def _listed_classes(path: Path, names: tuple[str, ...], folders: dict[str, Path]) -> PictureFolder:
    files: list[Path] = []
    class_ids: list[int] = []
    findings: list[Finding] = []
    others = 0
    for index, name in enumerate(names):
        entries = sorted(entry for entry in folders[name].rglob("*") if entry.is_file())
        pictures = [entry for entry in entries if entry.suffix.lower() in SUFFIXES and entry.name[0] != "."]
        others += len(entries) - len(pictures)
        if not pictures:
            findings.append(Finding(level="warning", text=f"{path.name}: the class {name!r} has no pictures"))
        files += pictures
        class_ids += [index] * len(pictures)
    if not files:
        raise errors.DataError(f"{path}: its class folders hold no pictures ({', '.join(SUFFIXES)})")
    unused = sorted(set(folders) - set(names))
    if unused:
        text = f"{path.name}: folders that `classes` does not name are left out: {listed(unused)}"
        findings.append(Finding(level="note", text=text))
    if others:
        text = f"{path.name}: {others} files that are not {', '.join(SUFFIXES)} are left out"
        findings.append(Finding(level="note", text=text))
    return PictureFolder(
        title=path.name,
        files=tuple(files),
        class_ids=tuple(class_ids),
        classes=names,
        findings=tuple(findings),
    )
