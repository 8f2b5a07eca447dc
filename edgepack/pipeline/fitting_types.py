"""What a recipe's types alone make impossible on a device: known before the model is even read."""

from __future__ import annotations

from collections.abc import Iterator

from edgepack.device import Device
from edgepack.recipe import Recipe
from edgepack.stages.remedies import INTEGER_SCHEMES


def types_refused(recipe: Recipe, target: Device) -> Iterator[str]:
    """One sentence for each thing that the device cannot run."""
    scheme = recipe.quantize.scheme
    if scheme not in INTEGER_SCHEMES and not target.float_allowed:
        yield f'[quantize] scheme = "{scheme}" leaves float operators, and it runs integers only; use "int8"'
    if recipe.quantize.weights == "channel" and target.pairs and "dense int8-per-channel" not in target.pairs:
        yield '[quantize] weights = "channel": its dense kernels take one scale per tensor; use "tensor"'
