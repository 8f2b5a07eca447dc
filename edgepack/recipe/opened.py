"""A recipe with open fields: what `edgepack tune` searches, and what a build refuses."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgepack import errors, tables
from edgepack.recipe.budget import UNLIMITED
from edgepack.recipe.canonical import to_toml
from edgepack.recipe.model import PLANNED, Recipe
from edgepack.recipe.open_fields import OpenField, Value, closed, open_fields
from edgepack.recipe.shipped import find
from edgepack.recipe.tuning import Tune


@dataclass(frozen=True, kw_only=True)
class OpenRecipe:
    """A recipe as its tables, with the fields that are left open.

    Attributes:
      path: its file, absolute.
      tables: as in the file, but for `[tune]`; a `[target]` that stages of its own stand beside is in `[budget]`.
      settings: `[tune]`, or its defaults.
    """

    path: Path
    tables: Mapping[str, Any]
    fields: tuple[OpenField, ...]
    settings: Tune

    def closed(self, values: Mapping[str, Value]) -> Recipe:
        """The recipe of one trial. It computes with one thread unless the recipe says otherwise: as many trials as
        processors are better than faster trials.

        Raises:
          RecipeError: these values do not go together.
        """
        filled = {"threads": 1, **closed(self.tables, self.fields, values)}
        return tables.validate(Recipe, filled, source=self.path).located(self.path)

    def some(self) -> Recipe:
        """The recipe with the first value in every open field: what all trials have in common."""
        return self.closed(
            {
                field.name: field.kept(field.choices[0]) if field.choices else field.low or 0.0
                for field in self.fields
            }
        )

    def frozen(self, values: Mapping[str, Value], folder: Path) -> str:
        """The text of a recipe for `folder` that builds the trial with these values."""
        relative = os.path.relpath(self.closed(values).directory, folder)
        recipe = self.closed(values).model_copy(update={"relative_to": relative})
        return to_toml(recipe)


def load_open(recipe: str | Path) -> OpenRecipe:
    """Reads a recipe with open fields.

    Raises:
      RecipeError: anything wrong in it, or nothing is left open.
    """
    path = find(recipe)
    said = tables.read(path)
    try:
        fields = open_fields(said)
    except ValueError as error:
        raise errors.RecipeError(f"{path}: {error}") from None
    if not fields:
        tables.validate(Recipe, said, source=path)
        raise errors.RecipeError(
            f"{path}: leaves nothing open; give a field of a stage or of [quantize] a range, such as sparsity = "
            "{ low = 0.3, high = 0.8 }, or a list of choices, such as clusters = [8, 16, 32]; or run `edgepack build`"
        )
    settings = tables.validate(Tune, said["tune"], source=f"{path}: [tune]") if "tune" in said else Tune()
    found = OpenRecipe(path=path.resolve(), tables=_without_target(said), fields=fields, settings=settings)
    found.some()
    return found


def refuse_open(path: Path, said: Mapping[str, Any]) -> None:
    """Says what to do with a recipe that cannot be built because it leaves fields open.

    Raises:
      RecipeError: it does.
    """
    try:
        fields = open_fields(said)
    except ValueError as error:
        raise errors.RecipeError(f"{path}: {error}") from None
    if fields:
        shown = ", ".join(f"{field.name} = {field.told()}" for field in fields)
        raise errors.RecipeError(
            f"{path}: leaves open: {shown}; a build needs one value for each: give them, or run `edgepack tune {path}`, "
            "which searches them and writes a recipe that builds"
        )


def _without_target(said: Mapping[str, Any]) -> dict[str, Any]:
    """The tables without `[tune]`. Where stages do what `[target]` would plan, it only limits: it goes into `[budget]`."""
    found = {key: copy.deepcopy(value) for key, value in said.items() if key != "tune"}
    target, stages = found.get("target"), found.get("stage")
    if not (isinstance(target, dict) and isinstance(stages, list)):
        return found
    if not any(isinstance(stage, dict) and stage.get("use") in PLANNED for stage in stages):
        return found
    del found["target"]
    budget = found.setdefault("budget", {})
    if not isinstance(budget, dict):
        return found
    drops = [
        each for each in (target.pop("max_accuracy_drop", None), budget.get("max_drop")) if each is not None
    ]
    budget["max_drop"] = min(drops, default=UNLIMITED)
    for name, limit in target.items():
        own = budget.get(f"max_{name}")
        budget[f"max_{name}"] = limit if own is None else min(own, limit)
    return found
