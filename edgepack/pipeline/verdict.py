"""Whether a model may ship: budgets and invariants against what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from edgepack.pipeline.result import MetricResult, Weighed
from edgepack.recipe import Budget
from edgepack.records import Invariant
from edgepack.stages.search import Judgement

STRAIN: Final = 0.25
"""Share of the accuracy budget from which int8 is refined although it keeps the budget."""


def judgement(found: MetricResult, max_drop: float, *, int8_drop: Callable[[], float]) -> Judgement:
    """What the quantizer is told about an artifact.

    Args:
      found: its metric against the original model's.
      max_drop: budget.
      int8_drop: asked only where there is a loss: the part of the drop that is not the compressed model's own.
    """
    complaint = None
    if found.drop > max_drop:
        complaint = f"{found.name} fell from {found.float_value:.4f} to {found.tflite_value:.4f}, more than {max_drop:g}"
    worth = complaint is not None or (found.drop > STRAIN * max_drop and found.interval[0] > 0.0)
    return Judgement(complaint=complaint, drop=found.drop, strained=worth and int8_drop() > STRAIN * max_drop)


def reasons_against(
    budget: Budget,
    *,
    metric: MetricResult,
    weighed: Weighed,
    baseline: Weighed,
    invariants: Sequence[Invariant],
    latency_is_of_device: bool,
    delta_bytes: int | None = None,
) -> list[str]:
    """Every reason why the package must not ship; empty when it may.

    Args:
      budget: the recipe's limits merged with the device's, the tighter of both.
      latency_is_of_device: whether the measured latency is the device's own; another machine's is never judged.
      delta_bytes: of the update from the previous package, where there is one.
    """
    found = [*_accuracy(budget, metric), *_sizes(budget, weighed, baseline)]
    if budget.max_latency_ms is not None and latency_is_of_device:
        found += _latency(budget.max_latency_ms, weighed)
    limit = budget.max_delta_bytes
    if limit is not None and delta_bytes is not None and delta_bytes > limit:
        found.append(
            f"update: the delta from the previous package is {delta_bytes:,} B, more than [budget] max_delta_bytes = "
            f"{limit:,} B; allow more loss ([continuity] max_loss), or a larger update"
        )
    found += [_broken(item) for item in invariants if not item.holds]
    return found


def _accuracy(budget: Budget, metric: MetricResult) -> Iterator[str]:
    if metric.drop > budget.max_drop + 1e-12:
        low, high = metric.interval
        yield (
            f"accuracy: {metric.name} went from {metric.float_value:.4f} to {metric.tflite_value:.4f}, a drop of "
            f"{metric.drop:.4f} (95 % interval {low:.4f} … {high:.4f} on {metric.samples} samples), more than [budget] "
            f"max_drop = {budget.max_drop:g}; compress less, fine-tune, or allow more"
        )


def _sizes(budget: Budget, weighed: Weighed, baseline: Weighed) -> Iterator[str]:
    for name in ("file_bytes", "delivered_bytes", "flash_bytes"):
        limit, found = getattr(budget, f"max_{name}"), getattr(weighed.sizes, name)
        if limit is not None and found > limit:
            yield f"size: {name} is {found:,} B, more than max_{name} = {limit:,} B by {found - limit:,} B"
    if budget.max_macs is not None and weighed.macs > budget.max_macs:
        yield f"work: {weighed.macs:,} multiply-adds, more than max_macs = {budget.max_macs:,}"
    if budget.min_compression is not None:
        ratio = baseline.sizes.file_bytes / weighed.sizes.file_bytes
        if ratio < budget.min_compression:
            yield (
                f"size: the file is {ratio:.2f} times smaller than the float .tflite, less than [budget] "
                f"min_compression = {budget.min_compression:g}"
            )


def _latency(limit_ms: float, weighed: Weighed) -> Iterator[str]:
    if weighed.latency_ms is None:
        yield f"latency: not measured, so [budget] max_latency_ms = {limit_ms:g} cannot be shown to hold"
    elif float(str(weighed.latency_ms["p50"])) > limit_ms:
        yield f"latency: p50 is {weighed.latency_ms['p50']:.3f} ms, more than [budget] max_latency_ms = {limit_ms:g}"


def _broken(item: Invariant) -> str:
    where = f"layer {item.layer!r}" if item.layer else "the model"
    return f"invariant: {where}: {item.kind} should be {item.wanted}, the .tflite has {item.found}"
