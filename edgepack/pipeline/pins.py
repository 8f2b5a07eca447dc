"""The model file's digest, and whether it is the one that the recipe pins."""

from __future__ import annotations

import hashlib
from pathlib import Path

from edgepack import errors
from edgepack.recipe import Recipe
from edgepack.records import file_sha256


def pinned_sha256(recipe: Recipe) -> str:
    """SHA-256 of the recipe's model.

    Raises:
      ModelError: no such file, or not the one that [model] sha256 pins.
    """
    path, pinned = recipe.model_path, recipe.model.sha256
    found = model_sha256(path)
    if pinned is not None and pinned != found:
        raise errors.ModelError(
            f"{path}: its SHA-256 is {found}, but [model] sha256 pins {pinned}; the file has changed: use the pinned "
            "one, or pin this one after you have checked it"
        )
    return found


def model_sha256(path: Path) -> str:
    """SHA-256 of a model file, or of names and contents of all files of a SavedModel directory."""
    if not path.exists():
        raise errors.ModelError(f"{path}: no such file; [model] path is relative to the recipe")
    if not path.is_dir():
        return file_sha256(path)
    digest = hashlib.sha256()
    for each in sorted(item for item in path.rglob("*") if item.is_file()):
        digest.update(f"{each.relative_to(path).as_posix()}\0{file_sha256(each)}\n".encode())
    return digest.hexdigest()
