"""The scoreboard on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.scoreboard.own import PLAIN
from tests.benchmarks.scoreboard.row import Found

POINTS = 100.0


def show(console: Console, case: str, facts: Mapping[str, Any], rows: Sequence[Found]) -> None:
    """One table per case, in the order in which the rows were run; failures below it, with their reasons."""
    heading = (
        f"{case}: {facts.get('metric', '?')} on {facts.get('samples', 0):,} samples, {facts.get('model', '')}"
    )
    table = Table(title=heading, title_justify="left", header_style="bold", pad_edge=False)
    for name in (
        "row",
        "metric",
        "drop, points [95 %]",
        "file",
        "delivered",
        "flash",
        "multiply-adds",
        "p50 ratio",
        "s",
    ):
        table.add_column(name, justify="left" if name == "row" else "right", no_wrap=True)
    for row in rows:
        if row.failure is None:
            table.add_row(*cells(row))
    console.print(table)
    for row in rows:
        if row.failure is not None:
            console.print(f"  {row.row}: {row.failure}", markup=False, highlight=False)
    for row in rows:
        if row.row == PLAIN and row.failure is None:
            console.print("  " + against_ptq(row), markup=False, highlight=False)
    for verdict in facts.get("verdicts", ()):
        console.print("  " + verdict_line(verdict), markup=False, highlight=False)


def cells(row: Found) -> list[str]:
    """A row's cells."""
    sizes = row.sizes or {}
    interval = f"[{_points(row.interval[0])}, {_points(row.interval[1])}]" if row.interval else ""
    return [
        row.row,
        f"{row.value:.4f}" if row.value is not None else "–",
        f"{_points(row.drop)} {interval}" if row.drop is not None else "–",
        *(f"{sizes[name]:,}" if name in sizes else "–" for name in ("file", "delivered", "flash")),
        f"{row.macs:,}" if row.macs is not None else "–",
        ratio(row.latency),
        f"{row.seconds:.1f}" if row.seconds is not None else "–",
    ]


def ratio(latency: Mapping[str, Any] | None) -> str:
    """The latency's ratio; a "~" marks that others loaded the machine."""
    if latency is None or "ratio" not in latency:
        return "–"
    return f"{'~' if latency['busy'] else ''}{latency['ratio']:.2f}"


def against_ptq(row: Found) -> str:
    """One sentence on plain quantization through edgepack against the bare converter's."""
    if row.ptq_drop is None or row.ptq_interval is None:
        return "edgepack's plain int8: the bare converter has no file to compare with"
    low, high = row.ptq_interval
    told = (
        "worse beyond noise"
        if low > 0
        else "better beyond noise"
        if high < 0
        else "no different beyond noise"
    )
    return (
        f"edgepack's plain int8 against the bare converter's: {told}, {_points(row.ptq_drop)} points "
        f"[{_points(low)}, {_points(high)}] (positive is worse)"
    )


def verdict_line(verdict: Mapping[str, Any]) -> str:
    """One sentence on a joint point against all others."""
    start = f"{verdict['row']}, {verdict['size_bytes']:,} delivered bytes, drop {_points(verdict['drop'])}: "
    told = "dominates" if verdict["dominates"] else "does not dominate"
    if verdict["best_rival"] is not None:
        told += f"; best row no larger: {verdict['best_rival']}, {_points(verdict['margin'])} points worse"
        if verdict.get("interval"):
            told += f" [{', '.join(_points(end) for end in verdict['interval'])}]"
    else:
        told = "nobody else is as small"
    if verdict["best_line"] is not None:
        told += f"; best line there: {verdict['best_line']}, {_points(verdict['line_margin'])} points worse"
    return start + told


def _points(share: float) -> str:
    return f"{share * POINTS:+.2f}"
