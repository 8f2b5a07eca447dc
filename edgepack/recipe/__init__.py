"""recipes/*.toml → `Recipe`: everything that a build is told, checked before anything runs."""

from edgepack.recipe.budget import float_allowed, limits
from edgepack.recipe.canonical import to_toml
from edgepack.recipe.model import NO_EVALUATION, Budget, Metric, ModelSource, Recipe, Target
from edgepack.recipe.shipped import find, load, names
from edgepack.recipe.tuning import Tune

__all__ = [
    "NO_EVALUATION",
    "Budget",
    "Metric",
    "ModelSource",
    "Recipe",
    "Target",
    "Tune",
    "find",
    "float_allowed",
    "limits",
    "load",
    "names",
    "to_toml",
]
