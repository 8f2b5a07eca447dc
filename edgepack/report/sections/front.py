"""The trade-off that was searched: what was tried, what cannot be beaten, what was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgepack.report import figures
from edgepack.report.blocks import Column, Picture, Pictures, Section, cell, table
from edgepack.report.documents import Point
from edgepack.report.material import Material
from edgepack.report.pictures import dots
from edgepack.report.pictures.drawing import drawn

COLUMNS = (
    Column(title="Plan"),
    Column(title="Delivered", number=True),
    Column(title="File", number=True),
    Column(title="Multiply-adds", number=True),
    Column(title="Latency", number=True),
    Column(title="Metric", number=True),
    Column(title="Drop", number=True),
    Column(title="95 % interval", number=True),
)


def section(material: Material) -> Section | str:
    """The section, or why there is none."""
    points = material.subject.build.pareto
    if not points:
        if material.subject.kind == "package":
            return "the searched trade-off: it lies with the build, not in the package"
        return "a searched trade-off: the recipe has no [target]"
    best = front(points)
    metric = material.packaged.metric.name if material.packaged.metric is not None else "metric"
    rows = []
    for point in points:
        kind = "chosen" if point.chosen else "front" if point in best else "tried"
        low, high = point.interval or (None, None)
        rows.append(
            {
                "x": point.delivered_bytes / 1000,
                "y": point.drop,
                "low": low,
                "high": high,
                "kind": kind,
                "told": f"{kind}: {figures.size(point.delivered_bytes)} delivered, {metric} "
                f"{figures.score(point.metric)}, drop {figures.signed(point.drop)}",
            }
        )
    limit = material.packaged.budget.get("max_delivered_bytes")
    caption = f"Drop of {metric} by delivered size, with 95 % intervals; lower left is better"
    if isinstance(limit, int | float):
        caption += "; dashed red: the limit"
    description = dots.front(
        rows,
        x="delivered, KB",
        y="drop",
        limit=limit / 1000 if isinstance(limit, int | float) else None,
    )
    return Section(
        id="front",
        title="The trade-off",
        lead="Every plan below was carried out and measured. The shipped one was chosen on the evaluation data, so its "
        "metric is a little flattering.",
        blocks=(
            Pictures(pictures=(Picture(caption=caption, svg=drawn(description, name=caption), wide=True),)),
            table(
                "Plans that were carried out",
                COLUMNS,
                [_row(number, point) for number, point in enumerate(points, start=1)],
                strong=[point.chosen for point in points],
            ),
        ),
    )


def front(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats in both delivered bytes and drop."""
    return [
        point
        for point in points
        if not any(
            other.delivered_bytes <= point.delivered_bytes
            and other.drop <= point.drop
            and (other.delivered_bytes, other.drop) != (point.delivered_bytes, point.drop)
            for other in points
        )
    ]


def _row(number: int, point: Point) -> list[Any]:
    low, high = point.interval or (None, None)
    return [
        cell(f"{number}{' (ships)' if point.chosen else ''}", number),
        cell(figures.size(point.delivered_bytes), point.delivered_bytes),
        cell(figures.size(point.file_bytes), point.file_bytes or ""),
        cell(figures.count(point.macs), point.macs or ""),
        cell(figures.milliseconds(point.latency_ms), point.latency_ms or ""),
        cell(figures.score(point.metric), point.metric),
        cell(figures.signed(point.drop), point.drop),
        cell(
            f"{figures.signed(low)} … {figures.signed(high)}" if point.interval else figures.UNKNOWN,
            low or "",
        ),
    ]
