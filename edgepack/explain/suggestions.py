"""What would help, and what it would bring: bytes by compressing the changed weights, time by table, loss by running."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import brotli
import numpy as np

from edgepack import tflite
from edgepack.explain.changes import Change, changes
from edgepack.explain.trial import Trial, edited
from edgepack.numerics import latency_model
from edgepack.numerics.latency_model import LatencyModel, Work
from edgepack.recipe.canonical import toml_value
from edgepack.report.anatomy import Part
from edgepack.tflite.sizes import BROTLI_QUALITY
from edgepack.tflite.work import FREE, works

Progress = Callable[[str, float | None], None]
"""Receives what is being done, and which share of it is."""
MOST_TRIED: Final = 16
"""Suggestions whose loss is measured: those that save most."""
LEAST_SAVED: Final = 0.01
"""A change that saves less than this share of bytes and of time is not worth a line."""
TOLERANCE: Final = 0.005
"""Loss that weighs as much as nothing: the ranking is by what is saved over this and the loss."""


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """One change with its estimated effect; negative is saved.

    Attributes:
      recipe: lines to add to the recipe.
      delivered_bytes, file_bytes, macs, latency_ms: estimated differences; None where nothing can be said.
      metric_loss: how much worse the metric is with the change in one shot, on `samples` samples; None where the
        subject has none. Fine-tuning or calibration in the build usually loses less.
      weights_error: ‖ΔW‖ / ‖W‖ of the changed weights.
    """

    title: str
    recipe: str
    delivered_bytes: int
    file_bytes: int
    macs: int
    latency_ms: float | None
    metric_loss: float | None
    samples: int
    weights_error: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def suggestions(
    data: bytes,
    model: tflite.Model,
    layers: list[Part],
    table: LatencyModel | None,
    trial: Trial | None,
    progress: Progress,
) -> list[Suggestion]:
    """The changes that are worth a line, best first; `progress` is told which is being measured."""
    delivered = compressed(data)
    by_layer = {part.layer: part for part in layers}
    found = []
    for change in changes(model, layers):
        part = by_layer.get(change.layers[0]) if change.layers else None
        made = _weighed(model, change, part, table)
        whole_ms = table.model_us(works(model)) / 1e3 if table is not None else 0.0
        gain = saved(made, delivered, whole_ms)
        if gain >= LEAST_SAVED:
            found.append((gain, change, made))
    found.sort(key=lambda item: -item[0])
    measured = []
    for number, (gain, change, made) in enumerate(found):
        progress(change.title, number / len(found))
        measured.append((gain, _measured(data, change, made, trial) if number < MOST_TRIED else made))
    measured.sort(key=lambda item: -worth(*item))
    return [made for _, made in measured]


def saved(made: Suggestion, delivered: int, whole_ms: float) -> float:
    """Share of the delivered bytes or of the time that is saved, whichever is more."""
    faster = -(made.latency_ms or 0.0) / whole_ms if whole_ms else 0.0
    return max(-made.delivered_bytes / max(1, delivered), faster)


def worth(gain: float, made: Suggestion) -> float:
    """What a suggestion is ranked by: what it saves for what it loses; a loss that nobody measured counts by the error."""
    loss = made.metric_loss if made.metric_loss is not None else 0.1 * made.weights_error
    return gain / (TOLERANCE + max(0.0, loss))


def compressed(data: bytes) -> int:
    """Bytes after brotli, as delivered."""
    return len(brotli.compress(data, quality=BROTLI_QUALITY))


def _weighed(
    model: tflite.Model, change: Change, part: Part | None, table: LatencyModel | None
) -> Suggestion:
    before = after = 0
    difference = size = 0.0
    for index, values in change.constants.items():
        stored = model.value(model.main.tensors[index])
        assert stored is not None
        before, after = before + compressed(stored.tobytes()), after + compressed(values.tobytes())
        difference += float(((values.astype(np.float64) - stored) ** 2).sum())
        size += float((stored.astype(np.float64) ** 2).sum())
    made = Suggestion(
        title=change.title,
        recipe=recipe_lines(change),
        delivered_bytes=after - before,
        file_bytes=0,
        macs=0,
        latency_ms=0.0 if table is not None else None,
        metric_loss=None,
        samples=0,
        weights_error=math.sqrt(difference / size) if size else 0.0,
    )
    return (
        made
        if change.rank is None or part is None
        else _factorized(model, change.rank, part, made, before, table)
    )


def _factorized(
    model: tflite.Model, rank: int, part: Part, made: Suggestion, before: int, table: LatencyModel | None
) -> Suggestion:
    """Factors have fewer weights, which compress about as the kernel's do."""
    tensor = model.main.tensors[part.kernels[0]]
    outputs, inputs = tensor.shape[0], tensor.elements // tensor.shape[0]
    share = rank * (outputs + inputs) / (outputs * inputs)
    latency_ms = None
    if table is not None and part.ops:
        numbers = [number for number, op in enumerate(model.main.ops) if op.name not in FREE]
        found = dict(zip(numbers, works(model), strict=True))
        works_before = [found[number] for number in part.ops if number in found]
        works_after = [each for work in works_before for each in _halves(work, tensor, rank)]
        latency_ms = (sum(map(table.op_us, works_after)) - sum(map(table.op_us, works_before))) / 1e3
    return replace(
        made,
        delivered_bytes=round(before * share) - before,
        file_bytes=round(tensor.elements * (share - 1.0)),
        macs=round(part.macs * (share - 1.0)),
        latency_ms=latency_ms,
    )


def _halves(work: Work, tensor: tflite.Tensor, rank: int) -> tuple[Work, Work]:
    """The two ops that a kernel of `rank` becomes."""
    outputs = tensor.shape[0]
    positions = max(1, work.positions * work.outputs // outputs)
    if len(tensor.shape) < 4:
        return (
            latency_model.dense(inputs=tensor.shape[-1], outputs=rank, rows=positions),
            latency_model.dense(inputs=rank, outputs=outputs, rows=positions),
        )
    taps = tensor.shape[1] * tensor.shape[2]
    first = latency_model.convolution(
        taps=taps, inputs=tensor.shape[3], outputs=rank, positions=positions, read=work.reads
    )
    second = latency_model.convolution(
        taps=1, inputs=rank, outputs=outputs, positions=positions, read=positions * rank
    )
    return first, second


def _measured(data: bytes, change: Change, made: Suggestion, trial: Trial | None) -> Suggestion:
    changed = edited(data, change.constants) if trial is not None else None
    if trial is None or changed is None:
        return made
    return replace(made, metric_loss=trial.loss(changed), samples=trial.samples.count)


def recipe_lines(change: Change) -> str:
    """What the recipe would say."""
    if not change.stage[0].startswith("use"):
        return "\n".join(["[quantize]", *change.stage])
    layers: Sequence[str] = change.layers
    chosen = [f"layers = {toml_value(layers[0] if len(layers) == 1 else list(layers))}"] if layers else []
    return "\n".join(["[[stage]]", *change.stage, *chosen])
