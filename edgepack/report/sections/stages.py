"""What each stage did: bytes and metric step by step, and what its file held."""

from __future__ import annotations

from collections.abc import Iterator

from edgepack.report import figures
from edgepack.report.blocks import Block, Cell, Column, Notice, Picture, Pictures, Section, cell, table
from edgepack.report.documents import LedgerLine, Packaged
from edgepack.report.pictures import waterfall
from edgepack.report.pictures.drawing import drawn
from edgepack.report.subject import Subject

COLUMNS = (
    Column(title="Stage"),
    Column(title="Layers", number=True),
    Column(title="Parameters", number=True),
    Column(title="Zeros", number=True),
    Column(title="Values a channel", number=True),
    Column(title="Bytes, estimated", number=True),
    Column(title="Metric", number=True),
)


def section(subject: Subject, packaged: Packaged) -> Section | None:
    """None where nothing was done to a model."""
    totals = [line for line in packaged.ledger if line.action == "model"]
    if not totals:
        return None
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
    known = [line for line in packaged.stages if line.estimated_bytes is not None]
    if (
        len(known) < 2
        or packaged.sizes is None
        or packaged.baseline is None
        or packaged.baseline.sizes is None
    ):
        steps = _ends(packaged)
    else:
        steps = [("float .tflite", packaged.baseline.sizes.delivered_bytes)]
        steps += [(line.stage, line.estimated_bytes or 0) for line in known[1:]]
        steps += [("shipped .tflite", packaged.sizes.delivered_bytes)]
    if not steps:
        return None
    told = [(name, float(count), figures.size(count)) for name, count in steps]
    caption = "Delivered bytes after each stage (between the ends estimated from the entropy of the weights)"
    return Picture(caption=caption, svg=drawn(waterfall.bars(told, unit="bytes"), name=caption), wide=True)


def _ends(packaged: Packaged) -> list[tuple[str, int]]:
    if packaged.sizes is None or packaged.baseline is None or packaged.baseline.sizes is None:
        return []
    return [
        ("float .tflite", packaged.baseline.sizes.delivered_bytes),
        ("shipped .tflite", packaged.sizes.delivered_bytes),
    ]


def _metric(packaged: Packaged) -> Picture | None:
    return None


def _table(packaged: Packaged, totals: list[LedgerLine]) -> Block:
    stages = {line.stage: line for line in packaged.stages}
    rows = []
    for entry in totals:
        acted = sum(
            line.stage == entry.stage and bool(line.layer) and line.action == "acted"
            for line in packaged.ledger
        )
        rows.append(_row(entry, acted, stages.get(entry.stage), packaged))
    return table("What each stage left in its file", COLUMNS, rows, sortable=False)


def _row(entry: LedgerLine, acted: int, stage: object, packaged: Packaged) -> list[Cell]:
    found = entry.found
    sparsity = found.get("sparsity")
    return [
        cell(entry.stage),
        cell(acted or figures.UNKNOWN),
        cell(f"{found['parameters']:,}" if isinstance(found.get("parameters"), int) else figures.UNKNOWN),
        cell(figures.share(sparsity) if isinstance(sparsity, int | float) else figures.UNKNOWN),
        cell(found.get("distinct_per_channel", figures.UNKNOWN)),
        cell(figures.size(getattr(stage, "estimated_bytes", None))),
        cell(figures.score(getattr(stage, "metric", None))),
    ]


def _left_alone(packaged: Packaged) -> list[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for line in packaged.ledger:
        if line.action in ("left alone", "lost") and line.layer:
            reasons.setdefault((line.stage, line.reason), []).append(line.layer)
    return [f"{stage}: {', '.join(layers)}: {reason}" for (stage, reason), layers in reasons.items()]
