"""``edgepack explain``: why this big, this slow, this accurate, and what would help."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgepack.cli.parameters import DEVICE, ModelFile
from edgepack.cli.visible import say

if TYPE_CHECKING:
    from edgepack.explain import Explanation, Suggestion

SHOWN = 8


@click.command("explain")
@click.argument("subject", metavar="RUN|PACKAGE", type=ModelFile(".edgepack"))
@click.option("--device", type=DEVICE, metavar="NAME", help="Which of a run's packages.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.explain/1).")
def command(subject: Path, device: str | None, as_json: bool) -> int:
    """Say why RUN (the folder with build.json) or PACKAGE is this big, slow and accurate, and what would help."""
    from edgepack.cli.screen import Screen
    from edgepack.explain import explained

    with Screen(quiet=as_json) as screen:
        screen.begin("try what would help")
        began = time.monotonic()
        found = explained(subject, device=device, progress=screen.progress)
        screen.end("try what would help", cached=False, seconds=time.monotonic() - began)
    say(json.dumps(found.to_json(), indent=1) if as_json else "\n".join(_lines(found)))
    return 0


def _lines(found: Explanation) -> Iterator[str]:
    where = f" for {found.device}" if found.device else ""
    yield f"{found.title}{where}"
    yield from _bytes(found)
    yield from _time(found)
    yield from _accuracy(found)
    yield ""
    yield "What would help, best first (estimated on this very file; a build that trains or calibrates loses less)"
    if not found.suggestions:
        yield "  nothing that one more stage would do: the weights are as small as pruning, clustering and factors make them"
    for number, suggestion in enumerate(found.suggestions[:SHOWN], start=1):
        yield from _suggestion(number, suggestion)
    for text in found.missing:
        yield f"not known: {text}"


def _bytes(found: Explanation) -> Iterator[str]:
    from edgepack.cli.summary import kilobytes

    yield ""
    yield f"Why this big: {kilobytes(found.file_bytes)} in the file, {kilobytes(found.delivered_bytes)} delivered (brotli)"
    for layer in found.layers[:SHOWN]:
        share = layer.delivered_bytes / max(1, found.delivered_bytes)
        kept = f"{layer.sparsity or 0:.0%} zeros, {layer.distinct or '–'} values/channel"
        yield (
            f"  {share:5.1%}  {kilobytes(layer.delivered_bytes):>9}  {layer.layer} ({layer.kind} "
            f"{'×'.join(map(str, layer.shape)) or '–'}): {kilobytes(layer.file_bytes)} in the file, {kept}"
        )
    rest = found.delivered_overhead / max(1, found.delivered_bytes)
    told = ", ".join(f"{name} {kilobytes(size)}" for name, size in found.overhead.items())
    yield f"  {rest:5.1%}  {kilobytes(found.delivered_overhead):>9}  everything else, in the file: {told}"


def _time(found: Explanation) -> Iterator[str]:
    yield ""
    if found.predicted_ms is None:
        yield "Why this slow: no table of measured ops fits this model (float kernels, or a device without one)"
        return
    yield f"Why this slow: {found.predicted_ms:.3f} ms predicted by the table of {found.table}"
    for name, milliseconds in list(found.ops_ms.items())[:SHOWN]:
        yield f"  {milliseconds / found.predicted_ms:5.1%}  {milliseconds:9.4f} ms  {name}"


def _accuracy(found: Explanation) -> Iterator[str]:
    yield ""
    metric = found.metric
    if metric is None:
        yield "Why this accurate: the metric is not known"
        return
    low, high = metric.interval
    yield (
        f"Why this accurate: {metric.name} {metric.float_value:.4f} → {metric.tflite_value:.4f}, drop "
        f"{metric.drop:+.4f} [{low:+.4f}, {high:+.4f}] on {metric.samples:,}"
    )
    for stage in found.stages:
        if stage.metric is not None:
            yield f"  after {stage.stage}: {stage.metric:.4f} on {stage.samples or 0:,}"
    noisy = sorted(
        (layer for layer in found.layers if layer.noise_db is not None), key=lambda each: each.noise_db or 0
    )
    for layer in noisy[:3]:
        yield f"  {layer.layer} answers with {layer.noise_db:.1f} dB of signal over noise"


def _suggestion(number: int, made: Suggestion) -> Iterator[str]:
    effects = [f"{made.delivered_bytes / 1000:+.1f} KB delivered"]
    effects += [f"{made.file_bytes / 1000:+.1f} KB file"] if made.file_bytes else []
    effects += [f"{made.macs:+,} multiply-adds"] if made.macs else []
    effects += [f"{made.latency_ms:+.4f} ms"] if made.latency_ms else []
    if made.metric_loss is not None:
        effects.append(f"metric loss {made.metric_loss:+.4f} on {made.samples} samples, untrained")
    else:
        effects.append(
            f"changes the weights by {made.weights_error:.1%}; give the run's folder to have the loss measured"
        )
    yield f"  {number}. {made.title}: {', '.join(effects)}"
    yield from (f"       {line}" for line in made.recipe.splitlines())
