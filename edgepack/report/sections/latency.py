"""How long an inference takes, with everything that belongs beside the number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from edgepack.report import figures
from edgepack.report.blocks import Block, Column, Facts, Notice, Picture, Pictures, Section, Text, cell, table
from edgepack.report.documents import Packaged
from edgepack.report.material import Material
from edgepack.report.pictures import dots

POINTS: Final = ("p10", "p50", "p90", "p99")
CIRCUMSTANCES: Final = {
    "cpu": "Processor",
    "cores": "Cores",
    "governor": "Governor",
    "load": "Load",
    "runtime": "Runtime",
    "version": "Version",
    "kernels": "Kernels",
    "threads": "Threads",
    "runs": "Runs",
    "warmup_runs": "Warm-up runs",
}


def section(material: Material) -> Section | str:
    """The section, or why there is none."""
    packaged = material.packaged
    before = packaged.baseline.latency_ms if packaged.baseline is not None else None
    spreads = _spread("float", before), _spread("shipped", packaged.latency_ms)
    rows = [row for row in spreads if row is not None]
    if not rows:
        if material.subject.kind == "package":
            return (
                "latency: it belongs to a machine and is not in a package; measure it with 'edgepack bench'"
            )
        return "latency: the build did not measure it (--no-bench)"
    caption = "One inference: bar from p10 to p90, tick at the median, line to p99"
    picture = Picture(caption=caption, description=dots.boxes(rows, unit="ms"), wide=True)
    blocks: list[Block] = [Pictures(pictures=(picture,)), _numbers(rows), *_beside(packaged)]
    return Section(
        id="latency",
        title="Latency",
        lead="Float model and shipped model, each measured on its own after a warm-up; only the inference is in the clock.",
        blocks=tuple(blocks),
    )


def _spread(name: str, latency: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if latency is None or any(not isinstance(latency.get(point), int | float) for point in POINTS):
        return None
    told = ", ".join(f"{point} {figures.milliseconds(latency[point])}" for point in POINTS)
    return {
        "name": name,
        **{point: float(latency[point]) for point in POINTS},
        "told": f"{name}: {told}",
        "shown": figures.milliseconds(latency["p50"]),
    }


def _numbers(rows: list[dict[str, Any]]) -> Block:
    columns = (Column(title="Model"), *(Column(title=point, number=True) for point in POINTS))
    return table(
        "Milliseconds of one inference",
        columns,
        [
            [cell(row["name"]), *(cell(figures.milliseconds(row[point]), row[point]) for point in POINTS)]
            for row in rows
        ],
        sortable=False,
    )


def _beside(packaged: Packaged) -> Iterator[Block]:
    told = packaged.benchmark or {}
    compared = told.get("comparison")
    if isinstance(compared, Mapping) and isinstance(compared.get("ratio"), int | float):
        yield Text(
            text=f"In turns: {compared['ratio']:.3f} of the float model's time, 95 % interval "
            f"{compared.get('low', 0):.3f} … {compared.get('high', 0):.3f}."
        )
    measured = told.get("artifact")
    if not isinstance(measured, Mapping):
        return
    facts = [
        (title, str(measured[key]))
        for key, title in CIRCUMSTANCES.items()
        if measured.get(key) not in (None, "")
    ]
    for key, title in (
        ("peak_rss_bytes", "Memory of the process"),
        ("model_rss_bytes", "Memory for the model"),
    ):
        if isinstance(measured.get(key), int | float):
            facts.append((title, figures.size(measured[key])))
    for key, title in (("load_ms", "Time to load"), ("first_inference_ms", "First inference")):
        if isinstance(measured.get(key), int | float):
            facts.append((title, figures.milliseconds(measured[key])))
    yield Facts(facts=tuple(facts))
    warnings = measured.get("warnings")
    if isinstance(warnings, list) and warnings:
        yield Notice(text="Doubts about these numbers:", level="warning", lines=tuple(map(str, warnings)))
