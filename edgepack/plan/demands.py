"""What a recipe asks of the model and the data, tested before planning."""

from __future__ import annotations

from collections.abc import Sequence

from edgepack import errors
from edgepack.facts import LayerFacts
from edgepack.plan.assignment import Numbered
from edgepack.stages import splits
from edgepack.tables import nearest


def check_training(numbered: Sequence[Numbered], has_training: bool) -> None:
    for number, stage in numbered:
        if stage.needs_training_data and not has_training and getattr(stage, "data", None) is None:
            raise errors.RecipeError(
                f"[[stage]] {number} {stage.use}: needs [data.training]; the recipe has none"
            )


def check_selectors(numbered: Sequence[Numbered], facts: Sequence[LayerFacts]) -> None:
    names = {each.name for each in facts}
    kinds = {each.kind for each in facts}
    if any(stage.use == "factorize" for _, stage in numbered):
        splittable = [each.name for each in facts if each.kind in splits.FACTORIZABLE]
        names |= {
            f"{name}_{part}" for name in splittable for part in ("depthwise", "reduce", "core", "expand")
        }
    for number, stage in numbered:
        for selector in stage.selectors():
            for glob, words in selector.unmatched(names, kinds):
                raise errors.RecipeError(
                    f'[[stage]] {number} {stage.use}: layers: "{glob}" matches no layer of the model'
                    f"{nearest(glob.removeprefix('!').strip('*'), words)}"
                )
