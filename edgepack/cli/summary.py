"""The end of a build as a person reads it: what each step did, what came out, pass or fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from edgepack.cli.next_steps import NEXT_STEPS
from edgepack.cli.screen import results
from edgepack.errors import GateError
from edgepack.pipeline.result import BuildResult, PackageResult, Weighed


def kilobytes(size_bytes: int | None) -> str:
    """Bytes as KB of 1,000, one decimal below 100 KB."""
    if size_bytes is None:
        return "–"
    return f"{size_bytes / 1000:,.1f} KB" if size_bytes < 1e8 else f"{size_bytes / 1e6:,.1f} MB"


def print_summary(result: BuildResult) -> None:
    """Prints the tables of a finished build to stdout."""
    console = results()
    first = result.packages[0]
    console.print()
    _steps(console, first)
    _front(console, result)
    for package in result.packages:
        _before_after(console, package)
        _invariants(console, package)
        _flash(console, package)
        _update(console, package)
        _verdict(console, result, package)


def _steps(console: Console, package: PackageResult) -> None:
    totals = [entry for entry in package.ledger if entry.action == "model"]
    table = Table(title="What each step left in its file", title_justify="left", box=None, pad_edge=False)
    for name in ("step", "layers", "parameters", "zeros", "values/channel"):
        table.add_column(name, justify="left" if name == "step" else "right")
    for entry in totals:
        lines = [line for line in package.ledger if line.stage == entry.stage and line.layer]
        acted = sum(line.action == "acted" for line in lines)
        found = entry.found
        table.add_row(
            entry.stage,
            str(acted) if acted else "–",
            f"{found['parameters']:,}" if "parameters" in found else "–",
            f"{float(str(found['sparsity'])):.1%}" if found.get("sparsity") is not None else "–",
            str(found.get("distinct_per_channel", "–")),
        )
    console.print(table)
    _left_alone(console, package)


def _front(console: Console, result: BuildResult) -> None:
    """The points that the plan of `[target]` chose from."""
    if not result.pareto:
        return
    console.print()
    title = "Plans that were carried out, by delivered bytes (→ ships)"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("", "delivered", "file", "macs", "metric", "drop"):
        table.add_column(name, justify="left" if not name else "right")
    for told in result.pareto:
        low, high = told["interval"]
        table.add_row(
            "→" if told["chosen"] else "",
            kilobytes(told["delivered_bytes"]),
            kilobytes(told["file_bytes"]),
            f"{told['macs']:,}",
            f"{told['metric']:.4f}",
            f"{told['drop']:+.4f} [{low:+.4f}, {high:+.4f}]",
        )
    console.print(table)


def _left_alone(console: Console, package: PackageResult) -> None:
    reasons: dict[tuple[str, str], list[str]] = {}
    for entry in package.ledger:
        if entry.action in ("left alone", "lost") and entry.layer:
            reasons.setdefault((entry.stage, entry.reason), []).append(entry.layer)
    for (stage, reason), layers in reasons.items():
        console.print(f"  {stage} left {_some(layers)} alone: {reason}", style="dim", markup=False)


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _before_after(console: Console, package: PackageResult) -> None:
    metric, after, before = package.metric, package.weighed, package.baseline
    if metric is None or after is None or before is None:
        return
    console.print()
    title = f"Float model against the .tflite{f' for {package.device}' if package.device else ''}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in ("", "float", "edgepack", "change"):
        table.add_column(name, justify="left" if not name else "right")
    low, high = metric.interval
    table.add_row(
        f"{metric.name} on {metric.samples:,}",
        f"{metric.float_value:.4f}",
        f"{metric.tflite_value:.4f}",
        f"drop {metric.drop:+.4f} [{low:+.4f}, {high:+.4f}]",
    )
    for row in _weights(before, after):
        table.add_row(*row)
    console.print(table)


def _weights(before: Weighed, after: Weighed) -> Iterable[tuple[str, str, str, str]]:
    for name in ("file_bytes", "delivered_bytes", "flash_bytes"):
        old, new = getattr(before.sizes, name), getattr(after.sizes, name)
        yield name, kilobytes(old), kilobytes(new), f"÷ {old / new:.2f}"
    for name, old, new in (
        ("macs", before.macs, after.macs),
        ("parameters", before.parameters, after.parameters),
    ):
        yield name, f"{old:,}", f"{new:,}", f"÷ {old / new:.2f}" if new else "–"
    if before.latency_ms and after.latency_ms:
        for point in ("p50", "p90"):
            old_ms, new_ms = float(str(before.latency_ms[point])), float(str(after.latency_ms[point]))
            yield f"latency {point}", f"{old_ms:.3f} ms", f"{new_ms:.3f} ms", f"÷ {old_ms / new_ms:.2f}"


def _invariants(console: Console, package: PackageResult) -> None:
    kinds: dict[str, list[bool]] = {}
    for item in package.invariants:
        kinds.setdefault(item.kind, []).append(item.holds)
    if kinds:
        told = ", ".join(f"{kind} {sum(held)}/{len(held)}" for kind, held in kinds.items())
        console.print(f"\nPromises found kept in the .tflite: {told}", markup=False)


def _update(console: Console, package: PackageResult) -> None:
    """What devices that have the previous package must fetch."""
    told: Mapping[str, Any] | None = package.continuity
    if told is None or package.metric is None:
        return
    console.print(
        f"Update from {told['previous']}: {kilobytes(told['delta_bytes'])}, {told['delta_share']:.1%} of the whole file's "
        f"{kilobytes(told['full_bytes'])} under xz; {told['kept']:.1%} of the weights kept their integers. Without "
        f"continuity: {kilobytes(told['without_delta_bytes'])}, {package.metric.name} {told['without_metric']:.4f} in place "
        f"of {told['metric']:.4f}",
        markup=False,
    )


def _flash(console: Console, package: PackageResult) -> None:
    """What the device stores and what it takes to run that."""
    told: Mapping[str, Any] | None = package.flash
    if told is None:
        return
    form = {"plain": "the .tflite as it is", "lut": "kernels by tables", "vela": "Vela's file"}[told["codec"]]
    known = told["ram_bytes"] is not None
    ram = f"{told['ram_bytes']:,} B of RAM ({told['ram_by']})" if known else "RAM not known"
    cycles = f", {told['cycles']:,} cycles" if told["cycles"] is not None else ""
    console.print(f"Stores {form}: {told['flash_bytes']:,} B of flash, {ram}{cycles}", markup=False)
    for note in told["notes"]:
        console.print(f"  {note}", style="dim", markup=False)


def _verdict(console: Console, result: BuildResult, package: PackageResult) -> None:
    if package.benchmark:
        console.print(f"Latency: {package.benchmark['circumstances']}", style="dim", markup=False)
        there: Any = package.benchmark.get("device")
        if there is not None:
            known = (
                "not known: " + there["reason"]
                if there["ms"] is None
                else f"{there['ms']:.3f} ms, {there['how']}"
            )
            console.print(f"On {package.device}: {known}", style="dim", markup=False)
    if package.emulated:
        console.print(f"Emulated: {_instructions(package)}", style="dim", markup=False)
    for reason in package.reasons:
        console.print(f"✗ {reason}", style="red", markup=False)
    if package.package is not None:
        console.print(f"→ {package.package}", style="bold", markup=False)
    word = "[bold green]passed[/bold green]" if package.passed else "[bold red]failed[/bold red]"
    seconds = sum(result.seconds.values())
    console.print(
        f"{word} in {seconds:.1f} s"
        + ("" if package.passed else "; no package made" if not package.package else ""),
        markup=True,
    )
    if not package.passed:
        console.print(f"next: {NEXT_STEPS[GateError]}", markup=False)


def _instructions(package: PackageResult) -> str:
    told: Any = package.emulated
    return (
        f"{told['instructions']['per_inference'] / 1e6:,.3f} million instructions per inference on {told['device']} "
        f"({told['kernels']} kernels, one thread), {'the same answers' if told['conforms'] else 'other answers'} as here; "
        "no times from an emulator"
    )
