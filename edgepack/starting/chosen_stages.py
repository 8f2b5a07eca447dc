"""The compression that a starting recipe begins with: what hardly ever costs accuracy, for the data there are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from edgepack import device
from edgepack.starting.model_seen import ModelSeen

WORTH_COMPRESSING: Final = 20_000
"""With fewer weights in kernels the file is mostly what every .tflite has."""
COMPACT: Final = 200_000
"""Depthwise-separable models below this many parameters have little to spare."""
SURE_SAMPLES: Final = 1_000
_FLOAT_BYTES: Final = 4
_OVERHEAD_BYTES: Final = 60_000
_BYTES_PER_PARAMETER: Final = 1.5


@dataclass(frozen=True, kw_only=True)
class StageChoice:
    """One `[[stage]]`, or one that is only suggested.

    Attributes:
      active: False where it stands in the recipe as a comment.
    """

    lines: tuple[str, ...]
    reason: str
    active: bool = True


def stages(model: ModelSeen, *, trains: bool) -> tuple[StageChoice, ...]:
    """Stages in their order."""
    kernels = sum(kernel.array.size for layer in model.facts for kernel in layer.kernels)
    separable = model.has("DepthwiseConv2D", "DepthwiseConv1D", "SeparableConv2D", "SeparableConv1D")
    if not kernels:
        return (
            _cluster(
                "stages act on layers, and this model's file has none that they know: int8 alone",
                active=False,
            ),
        )
    if kernels < WORTH_COMPRESSING:
        reason = f"only {kernels:,} weights in kernels: int8 alone; the rest of the file is its graph"
        return (_cluster(reason, active=False),)
    if separable and model.parameters < COMPACT:
        reason = f"a compact separable model of {model.parameters:,} parameters has little to spare: int8 alone at first"
        return (_cluster(reason, active=False),)
    cluster = _cluster(
        "at most 32 values per channel: int8 keeps them, and brotli makes about half of the bytes of them",
        active=True,
    )
    prune = StageChoice(
        lines=('use = "prune"', "sparsity = 0.3"),
        reason="the smallest 30 % of every layer's weights, with fine-tuning on [data.training]"
        if trains
        else "there are no labelled samples to fine-tune on, so it is left to you",
        active=trains,
    )
    factorize = StageChoice(
        lines=('use = "factorize"', "energy = 0.9"),
        reason="fewer multiply-adds; look at the accuracy when you turn it on",
        active=False,
    )
    return (prune, cluster, factorize)


def _cluster(reason: str, *, active: bool) -> StageChoice:
    return StageChoice(lines=('use = "cluster"', "clusters = 32"), reason=reason, active=active)


def devices(model: ModelSeen) -> tuple[list[str], list[str]]:
    """Profiles whose limit of the size the model will meet as int8, and those it will not."""
    fits: list[str] = []
    too_small: list[str] = []
    for name in device.names():
        limit = device.load(name).budget_bytes
        expected = model.parameters + _OVERHEAD_BYTES
        (fits if limit is None or expected <= limit else too_small).append(name)
    return fits, too_small


@dataclass(frozen=True, kw_only=True)
class BudgetChoice:
    """`[budget]`: limits with their reasons, by key."""

    max_drop: float
    drop_reason: str
    max_file_bytes: int | None
    file_reason: str


def budget(model: ModelSeen, metric: str, samples: int) -> BudgetChoice:
    """Limits that a sound build meets: wide where few samples make the measured drop uncertain."""
    if metric in ("mae", "mse"):
        drop, why = 0.05, f"5 % more error; {metric} is compared relative to the float model"
    elif samples >= SURE_SAMPLES:
        drop, why = 0.01, f"one point; {samples:,} samples can tell that"
    else:
        drop, why = (
            0.02,
            f"two points: with {samples:,} samples one answer more or less is {1 / max(1, samples):.2%}",
        )
    parameters = model.parameters
    if not parameters:
        return BudgetChoice(
            max_drop=drop, drop_reason=why, max_file_bytes=None, file_reason="the file does not say its size"
        )
    size = math.ceil((parameters * _BYTES_PER_PARAMETER + _OVERHEAD_BYTES) / 1000) * 1000
    reason = (
        f"{parameters:,} parameters: {parameters * _FLOAT_BYTES / 1000:,.0f} KB as floats, about "
        f"{parameters / 1000:,.0f} KB as int8, and room for the graph"
    )
    return BudgetChoice(max_drop=drop, drop_reason=why, max_file_bytes=size, file_reason=reason)
