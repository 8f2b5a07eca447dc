"""How long an inference takes, with everything that belongs beside the number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from edgepack.benchmark import Comparison
from edgepack.report import figures
from edgepack.report.blocks import Block, Column, Facts, Notice, Picture, Pictures, Section, Text, cell, table
from edgepack.report.documents import Packaged
from edgepack.report.material import Material
from edgepack.report.pictures import dots

POINTS: Final = ("p10", "p50", "p90", "p99")
MEMORY: Final = {
    "arena_bytes": "Arena, calculated",
    "peak_rss_bytes": "Memory of the process",
    "model_rss_bytes": "Memory for the model",
}
CIRCUMSTANCES: Final = {
    "cpu": "Processor",
    "machine": "Architecture",
    "cores": "Cores",
    "delegate": "Delegate",
    "governor": "Governor",
    "load": "Load",
    "runtime": "Runtime",
    "version": "Version",
    "kernels": "Kernels",
    "threads": "Threads",
    "runs": "Runs",
    "warmup_runs": "Warm-up runs",
}


def section(material: Material, timed: Comparison | None = None) -> Section | str:
    """The section, or why there is none.

    Args:
      timed: the shipped model against the float model, timed in turns.
    """
    packaged = material.packaged
    before = packaged.baseline.latency_ms if packaged.baseline is not None else None
    spreads = _spread("float", before), _spread("shipped", packaged.latency_ms)
    rows = [row for row in spreads if row is not None]
    emulated = _emulated(packaged)
    if not rows and not emulated and timed is None:
        if material.subject.kind == "package":
            return (
                "latency: it belongs to a machine and is not in a package; measure it with 'edgepack bench'"
            )
        return "latency: the build did not measure it (--no-bench)"
    blocks: list[Block] = []
    if rows:
        caption = "One inference: bar from p10 to p90, tick at the median, line to p99"
        picture = Picture(caption=caption, description=dots.boxes(rows, unit="ms"), wide=True)
        blocks = [Pictures(pictures=(picture,)), _numbers(rows), *_beside(packaged)]
    blocks += [*_in_turns(timed), *emulated]
    return Section(
        id="latency",
        title="Latency",
        lead="Float model and shipped model, each measured on its own after a warm-up; only the inference is in the clock."
        if rows
        else "",
        blocks=tuple(blocks),
    )


def _in_turns(timed: Comparison | None) -> list[Block]:
    if timed is None:
        return []
    rows = [_spread(name, asdict(each)) for name, each in (("float", timed.b_ms), ("shipped", timed.a_ms))]
    caption = "Both in turns on this machine: bar from p10 to p90, tick at the median, line to p99"
    description = dots.boxes([row for row in rows if row is not None], unit="ms")
    told = (
        f"The shipped model takes {timed.ratio:.3f} of the float model's time, {timed.confidence:.0%} interval "
        f"{timed.low:.3f} … {timed.high:.3f}, {timed.rounds} rounds of fresh loads on {timed.circumstances.cpu}."
    )
    return [
        Text(kind="heading", text="A and B in turns"),
        Text(text=told.replace("%", " %")),
        Pictures(pictures=(Picture(caption=caption, description=description, wide=True),)),
    ]


def _emulated(packaged: Packaged) -> list[Block]:
    """Whether the emulated device answers the same, and what an inference takes there; no time."""
    told = packaged.emulated
    if told is None:
        return []
    instructions = told.get("instructions")
    facts = [
        ("Emulated device", str(told.get("device", ""))),
        ("Answers alike", "yes" if told.get("conforms") else "no"),
    ]
    if isinstance(instructions, Mapping):
        facts += [
            (f"Instructions, {name.replace('_', ' ')}", figures.count(value))
            for name, value in instructions.items()
            if isinstance(value, int | float)
        ]
    return [Text(kind="heading", text="On the emulated device"), Facts(facts=tuple(facts))]


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
