"""What each stage did: bytes and metric step by step, and what its file held."""

from __future__ import annotations

from collections.abc import Iterator

from edgepack.report import figures
from edgepack.report.blocks import Block, Cell, Column, Notice, Picture, Pictures, Section, cell, table
from edgepack.report.documents import LedgerLine, Packaged, StageLine
from edgepack.report.material import Material
from edgepack.report.pictures import dots, waterfall

COLUMNS = (
    Column(title="Stage"),
    Column(title="Layers", number=True),
    Column(title="Parameters", number=True),
    Column(title="Zeros", number=True),
    Column(title="Values a channel", number=True),
    Column(title="Bytes, estimated", number=True),
    Column(title="Metric", number=True),
)


def section(material: Material) -> Section | str:
    """The section, or why there is none."""
    packaged = material.packaged
    totals = [line for line in packaged.ledger if line.action == "model"]
    if not totals:
        return "stages: the ledger is empty"
    blocks: list[Block] = [*_pictures(packaged), _table(packaged, totals)]
    left = _left_alone(packaged)
    if left:
        blocks.append(Notice(text="Left alone, and why:", lines=tuple(left)))
    return Section(
        id="stages",
        title="What each stage did",
        lead="Every number is read from the file that the stage left, not from what the recipe asked for.",
        blocks=tuple(blocks),
    )


def _pictures(packaged: Packaged) -> Iterator[Block]:
    made = [picture for picture in (_bytes(packaged), _metric(packaged)) if picture is not None]
    if made:
        yield Pictures(pictures=tuple(made))


def _bytes(packaged: Packaged) -> Picture | None:
    if packaged.sizes is None or packaged.baseline is None or packaged.baseline.sizes is None:
        return None
    known = [line for line in packaged.stages if line.estimated_bytes is not None]
    between = [
        ("rounded to int8" if number == 0 else line.stage, line.estimated_bytes or 0)
        for number, line in enumerate(known)
    ]
    whole = packaged.baseline.sizes.delivered_bytes, packaged.sizes.delivered_bytes
    steps = [("float .tflite", whole[0]), *between, ("shipped .tflite", whole[1])]
    told = [(name, float(count), figures.size(count)) for name, count in steps]
    caption = "Delivered bytes" + (
        ", between the ends estimated from the weights after each stage" if known else ""
    )
    return Picture(
        caption=caption,
        description=waterfall.bars([(name, count / 1000, shown) for name, count, shown in told], unit="KB"),
        wide=True,
    )


def _metric(packaged: Packaged) -> Picture | None:
    known = [(line.stage, line.metric) for line in packaged.stages if line.metric is not None]
    if len(known) < 2 or packaged.metric is None:
        return None
    told = [(stage, value, figures.score(value)) for stage, value in known]
    samples = next((line.samples for line in packaged.stages if line.samples), 0)
    caption = f"{packaged.metric.name} of the Keras model after each stage, on {samples:,} evaluation samples"
    return Picture(caption=caption, description=dots.steps(told, unit=packaged.metric.name), wide=True)


def _table(packaged: Packaged, totals: list[LedgerLine]) -> Block:
    stages = {line.stage: line for line in packaged.stages}
    rows = []
    for entry in totals:
        acted = sum(
            line.stage == entry.stage and bool(line.layer) and line.action == "acted"
            for line in packaged.ledger
        )
        rows.append(_row(entry, acted, stages.get(entry.stage)))
    return table("What each stage left in its file", COLUMNS, rows, sortable=False)


def _row(entry: LedgerLine, acted: int, stage: StageLine | None) -> list[Cell]:
    found = entry.found
    sparsity = found.get("sparsity")
    return [
        cell(entry.stage),
        cell(acted or figures.UNKNOWN),
        cell(f"{found['parameters']:,}" if isinstance(found.get("parameters"), int) else figures.UNKNOWN),
        cell(figures.share(sparsity) if isinstance(sparsity, int | float) else figures.UNKNOWN),
        cell(found.get("distinct_per_channel", figures.UNKNOWN)),
        cell(figures.size(stage.estimated_bytes if stage is not None else None)),
        cell(figures.score(stage.metric if stage is not None else None)),
    ]


def _left_alone(packaged: Packaged) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for line in packaged.ledger:
        if line.action in ("left alone", "lost") and line.layer:
            reasons.setdefault((line.stage, line.reason), []).append(line.layer)
    return [f"{stage}: {', '.join(layers)}: {reason}" for (stage, reason), layers in reasons.items()]
