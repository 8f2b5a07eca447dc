"""The trade-off that was searched: what was tried, what cannot be beaten, what was chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgepack.report import figures
from edgepack.report.blocks import Cell, Column, Picture, Pictures, Section, cell, table
from edgepack.report.documents import Objective, Point, Trial, Tune
from edgepack.report.material import Material
from edgepack.report.pictures import dots

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
    if material.subject.tune is not None:
        return search(material.subject.tune)
    if not points:
        if material.subject.kind == "package":
            return "the searched trade-off: it lies with the build, not in the package"
        return "a searched trade-off: the recipe has no [target]"
    metric = material.packaged.metric.name if material.packaged.metric is not None else "metric"
    rows = _points(points, metric)
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
            Pictures(pictures=(Picture(caption=caption, description=description, wide=True),)),
            table(
                "Plans that were carried out",
                COLUMNS,
                [_row(number, point) for number, point in enumerate(points, start=1)],
                strong=[point.chosen for point in points],
            ),
        ),
    )


def _points(points: Sequence[Point], metric: str) -> list[dict[str, Any]]:
    best = front(points)
    rows = []
    for point in points:
        kind = "chosen" if point.chosen else "front" if point in best else "tried"
        low, high = point.interval or (None, None)
        told = (
            f"{kind}: {figures.size(point.delivered_bytes)} delivered, {metric} {figures.score(point.metric)}, drop "
            f"{figures.signed(point.drop)}"
        )
        rows.append(
            {
                "x": point.delivered_bytes / 1000,
                "y": point.drop,
                "low": low,
                "high": high,
                "kind": kind,
                "told": told,
            }
        )
    return rows


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


def _row(number: int, point: Point) -> list[Cell]:
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


def search(tune: Tune) -> Section | str:
    """The section of a search: every trial, the front, the chosen one."""
    finished = [trial for trial in tune.trials if trial.values is not None]
    if not tune.objectives or not finished:
        return "a searched trade-off: no trial of the search came to an end"
    names = [objective.name for objective in tune.objectives]
    vertical = names.index("drop") if "drop" in names else len(names) - 1
    pictures = [
        _plane(tune, finished, place, vertical)
        for place in range(len(names))
        if place != vertical or len(names) == 1
    ]
    columns = (
        Column(title="Trial"),
        *(Column(title=objective.name.replace("_", " "), number=True) for objective in tune.objectives),
        Column(title="Chosen fields", prose=True),
        Column(title="Not on offer because", prose=True),
    )
    failed = len(tune.trials) - len(finished)
    lead = f"{len(tune.trials)} trials"
    lead += f", {failed} of them failed" if failed else ""
    lead += f"; {len(tune.front)} cannot be beaten within the limits."
    return Section(
        id="front",
        title="The trade-off",
        lead=lead,
        blocks=(
            Pictures(pictures=tuple(pictures)),
            table(
                "Every trial",
                columns,
                [_trial(tune, trial) for trial in tune.trials],
                strong=[trial.number == tune.chosen for trial in tune.trials],
            ),
        ),
    )


def _titled(objective: Objective) -> str:
    return objective.name.replace("_bytes", "").replace("_ms", "") + (
        f", {objective.unit}" if objective.unit else ""
    )


def _shown(objective: Objective, value: float | None) -> str:
    forms = {"B": figures.size, "ms": figures.milliseconds}
    return forms.get(objective.unit, figures.score)(value)


def _plane(tune: Tune, finished: Sequence[Trial], across: int, up: int) -> Picture:
    rows = []
    for trial in finished:
        assert trial.values is not None
        kind = "chosen" if trial.number == tune.chosen else "front" if trial.number in tune.front else "tried"
        told = ", ".join(
            f"{objective.name} {_shown(objective, value)}"
            for objective, value in zip(tune.objectives, trial.values, strict=False)
        )
        fields = ", ".join(f"{name} = {value}" for name, value in trial.params.items())
        rows.append(
            {
                "x": trial.values[across],
                "y": trial.values[up],
                "low": None,
                "high": None,
                "kind": kind,
                "told": f"trial {trial.number} ({kind}): {told}; {fields}",
            }
        )
    x, y = tune.objectives[across], tune.objectives[up]
    caption = f"{y.name} by {x.name}: lower left is better" + (
        "; dashed red: the limit" if x.limit is not None else ""
    )
    return Picture(
        caption=caption, description=dots.front(rows, x=_titled(x), y=_titled(y), limit=x.limit), wide=True
    )


def _trial(tune: Tune, trial: Trial) -> list[Cell]:
    values = trial.values or (None,) * len(tune.objectives)
    fields = ", ".join(f"{name} = {value}" for name, value in trial.params.items())
    return [
        cell(f"{trial.number}{' (chosen)' if trial.number == tune.chosen else ''}", trial.number),
        *(
            cell(_shown(objective, value), value)
            for objective, value in zip(tune.objectives, values, strict=False)
        ),
        cell(fields),
        cell(trial.error or "; ".join(trial.reasons)),
    ]
