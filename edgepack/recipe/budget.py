"""The limits that a build must meet: the recipe's and the device's, whichever is tighter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgepack.recipe.model import Budget, Recipe

if TYPE_CHECKING:
    from edgepack.device import Device


def limits(recipe: Recipe, device: Device | None) -> Budget:
    """`[budget]` merged with the budget of a device; the tighter limit wins.

    Example:
      >>> tables = {"edgepack": 1, "name": "x", "version": "1", "model": {"path": "m.h5"}}
      >>> limits(Recipe.model_validate({**tables, "quantize": {"scheme": "float16"}}), None).max_drop
      0.005
    """
    if device is None:
        return recipe.budget
    tighter = {}
    for name, limit in device.size_limits().items():
        own = getattr(recipe.budget, name)
        if limit is not None and (own is None or limit < own):
            tighter[name] = limit
    return recipe.budget.model_copy(update=tighter)


def float_allowed(recipe: Recipe, device: Device | None) -> bool:
    """Whether operators may stay float: the recipe must allow it, and the device must be able to run them."""
    return recipe.quantize.allow_float and (device is None or device.float_allowed)
