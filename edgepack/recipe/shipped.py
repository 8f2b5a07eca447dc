"""Finding recipes: a path, or the name of one that comes with edgepack."""

from __future__ import annotations

from pathlib import Path

from edgepack import errors, tables
from edgepack.recipe.model import Recipe


def folder() -> Path | None:
    """Where edgepack's own recipes are: inside the installed package, or beside it in a clone."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "_recipes", package.parent / "recipes"):
        if candidate.is_dir():
            return candidate
    return None


def names() -> tuple[str, ...]:
    """Names of the recipes that come with edgepack."""
    here = folder()
    return () if here is None else tuple(sorted(file.stem for file in here.glob("*.toml")))


def find(recipe: str | Path) -> Path:
    """The file of a recipe given as a path or by name.

    Raises:
      RecipeError: neither a file nor a known name.
    """
    path = Path(recipe)
    if path.exists():
        return path
    known, here = names(), folder()
    text = str(recipe)
    if here is not None and text.removesuffix(".toml").removeprefix("recipes/") in known:
        return here / f"{text.removesuffix('.toml').removeprefix('recipes/')}.toml"
    hint = tables.nearest(path.stem, known) if path.parent == Path() else ""
    raise errors.RecipeError(
        f"{recipe}: no such recipe; expected a .toml file or the name of a shipped one{hint}"
    )


def load(recipe: str | Path) -> Recipe:
    """Reads and checks a recipe.

    Args:
      recipe: path of a .toml file, or the name of a recipe that comes with edgepack.

    Raises:
      RecipeError: anything wrong in it; one line per complaint, naming file, table and key.
    """
    path = find(recipe)
    said = tables.read(path)
    try:
        return tables.validate(Recipe, said, source=path).located(path)
    except errors.RecipeError:
        # Here: only a recipe that cannot be built as it stands needs it.
        from edgepack.recipe.opened import refuse_open

        refuse_open(path, said)
        raise
