"""The limits that a build must meet: the recipe's and the device's, whichever is tighter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgepack.recipe.model import Budget, Recipe

UNLIMITED = 1e9
"""Drop that is always allowed: "the most accurate within so many bytes"."""

if TYPE_CHECKING:
    from edgepack.device import Device


def limits(recipe: Recipe, device: Device | None) -> Budget:
    """`[budget]` merged with the budget of a device; the tighter limit wins.

    Example:
      >>> tables = {"edgepack": 1, "name": "x", "version": "1", "model": {"path": "m.h5"}}
      >>> limits(Recipe.model_validate({**tables, "quantize": {"scheme": "float16"}}), None).max_drop
      0.005
    """
    budget = _with_target(recipe)
    tighter = {}
    for name, limit in device.size_limits().items() if device is not None else ():
        own = getattr(budget, name)
        if limit is not None and (own is None or limit < own):
            tighter[name] = limit
    return budget.model_copy(update=tighter)


def _with_target(recipe: Recipe) -> Budget:
    """`[budget]` and `[target]` in one: what the plan is made for is also judged."""
    budget, target = recipe.budget, recipe.target
    if target is None:
        return budget
    drops = [limit for limit in (target.max_accuracy_drop, _own_drop(budget)) if limit is not None]
    tighter: dict[str, float] = {"max_drop": min(drops, default=UNLIMITED)}
    for name, limit in target.limits().items():
        own = getattr(budget, f"max_{name}")
        tighter[f"max_{name}"] = limit if own is None else min(limit, own)
    return budget.model_copy(update=tighter)


def _own_drop(budget: Budget) -> float | None:
    """The recipe's word; where it says nothing, `[target]` alone decides what accuracy may cost."""
    return budget.max_drop if "max_drop" in budget.model_fields_set else None


def float_allowed(recipe: Recipe, device: Device | None) -> bool:
    """Whether operators may stay float: the recipe must allow it, and the device must be able to run them."""
    return recipe.quantize.allow_float and (device is None or device.float_allowed)
