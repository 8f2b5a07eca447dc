"""Where it comes from: digests, versions, seconds, promises; and what this page cannot show."""

from __future__ import annotations

from collections.abc import Sequence

from edgepack.recipe.budget import UNLIMITED
from edgepack.report import figures
from edgepack.report.blocks import Block, Column, Facts, Notice, Section, Text, cell, table
from edgepack.report.documents import Packaged
from edgepack.report.material import Material


def promises(material: Material) -> Section | str:
    """What stages promised, and whether the exported file keeps it."""
    kept = material.packaged.invariants
    if not kept:
        return "promises of the stages: there were none"
    broken = sum(not promise.holds for promise in kept)
    columns = (
        Column(title="Layer"),
        Column(title="Promise"),
        Column(title="Wanted", number=True),
        Column(title="Found", number=True),
        Column(title="Kept"),
        Column(title="Why not", prose=True),
    )
    rows = [
        [
            cell(promise.layer or "the model"),
            cell(promise.kind),
            cell(_value(promise.wanted)),
            cell(_value(promise.found)),
            cell("yes" if promise.holds else "no"),
            cell(promise.reason),
        ]
        for promise in kept
    ]
    told = f"{len(kept) - broken} of {len(kept)} promises are kept, read from the exported file."
    return Section(
        id="promises",
        title="Promises",
        lead=told,
        blocks=(
            table(
                "Promises",
                columns,
                rows,
                strong=[not promise.holds for promise in kept],
                folded="" if broken else "All of them",
            ),
        ),
    )


def _value(value: float | str | None) -> str:
    if value is None:
        return figures.UNKNOWN
    return value if isinstance(value, str) else f"{value:.4g}"


def section(material: Material, missing: Sequence[str]) -> Section:
    """Provenance, and what is not shown."""
    build, packaged = material.subject.build, material.packaged
    blocks: list[Block] = [Facts(facts=tuple(_facts(material, packaged)))]
    if build.step_seconds:
        columns = (Column(title="Step"), Column(title="Seconds", number=True))
        rows = [
            [cell(name), cell(f"{value:.2f}", value)]
            for name, value in sorted(build.step_seconds.items(), key=lambda item: -item[1])
        ]
        blocks.append(table("Seconds of the build by step", columns, rows, folded="Seconds by step"))
    if packaged.budget:
        columns = (Column(title="Limit"), Column(title="Value", number=True))
        limits = [
            [cell(name), cell(f"{value:,}" if value < UNLIMITED else "any")]
            for name, value in packaged.budget.items()
            if isinstance(value, int | float)
        ]
        blocks.append(table("Limits it was held against", columns, limits, folded="Limits"))
    if missing:
        blocks += [Text(kind="heading", text="Not on this page"), Notice(text="", lines=tuple(missing))]
    return Section(id="environment", title="Environment and provenance", blocks=tuple(blocks))


def _facts(material: Material, packaged: Packaged) -> list[tuple[str, str]]:
    build = material.subject.build
    facts = [("Read from", material.subject.path.name or str(material.subject.path))]
    if packaged.device:
        facts.append(("Device", packaged.device))
    for key, title in (("model", "Source model, SHA-256"), ("tflite", ".tflite, SHA-256")):
        if key in packaged.sha256:
            facts.append((title, packaged.sha256[key]))
    if packaged.remedy:
        facts.append(("Conversion", packaged.remedy))
    facts += [(name, version) for name, version in build.versions.items()]
    if build.seconds:
        facts.append(("Time of the build", figures.seconds(build.seconds)))
    return facts
