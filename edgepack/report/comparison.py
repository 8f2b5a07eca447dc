"""Two releases side by side: the same page as a report, about what changed."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgepack import benchmark, errors
from edgepack.report import figures, summary
from edgepack.report.anatomy import Part, parts
from edgepack.report.blocks import Block, Cell, Column, Facts, Notice, Section, Text, cell, table
from edgepack.report.contents import DeviceTop, Report
from edgepack.report.documents import Packaged
from edgepack.report.material import Material, collected
from edgepack.report.regressions import Aspect, Change, changes, regressed
from edgepack.report.subject import Subject
from edgepack.tflite import byte_ledger


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What a diff found."""

    report: Report
    changes: tuple[Change, ...]

    @property
    def passed(self) -> bool:
        return not any(change.regressed for change in self.changes)


def compared(old: Subject, new: Subject, allowed: Mapping[Aspect, float], *, measure: bool) -> Compared:
    """Compares every device that both have.

    Args:
      allowed: what --fail-on watches, with its allowances.
      measure: whether both models are timed here in turns.

    Raises:
      BadInputError: no device in common, or files are damaged.
    """
    pairs = _pairs(old, new)
    found: list[Change] = []
    sections: list[Section] = []
    for number, (device, before, after) in enumerate(pairs):
        with collected(old, before) as was, collected(new, after) as now:
            timed = _timed(was, now) if measure else None
            found += changes(device, before, after, allowed, timed)
            if number == 0:
                sections += _sections(was, now)
    bad = regressed(found)
    report = Report(
        title=f"{old.title} → {new.title}",
        passed=not bad,
        verdict=("no regression" if allowed else "compared") if not bad else "regression",
        headline="; ".join(change.text for change in found if not pairs or change.device == pairs[0][0])
        + ".",
        reasons=tuple(bad),
        devices=tuple(
            DeviceTop(name=device, passed=after.passed, gauges=tuple(summary.gauges(after, before)))
            for device, before, after in pairs
        ),
        sections=tuple(sections),
        against=old.title,
    )
    return Compared(report=report, changes=tuple(found))


def _pairs(old: Subject, new: Subject) -> list[tuple[str, Packaged, Packaged]]:
    before = {item.device or "": item for item in old.packages}
    both = [
        (item.device or "", before[item.device or ""], item)
        for item in new.packages
        if (item.device or "") in before
    ]
    if not both and len(old.packages) == len(new.packages) == 1:  # one of each: they are meant
        return [(new.packages[0].device or "", old.packages[0], new.packages[0])]
    if not both:
        raise errors.BadInputError(
            f"{old.path} has the devices {_listed(old)}, {new.path} has {_listed(new)}: none in common; name packages of "
            "the same device"
        )
    return both


def _listed(subject: Subject) -> str:
    return ", ".join(item.device or "(no particular one)" for item in subject.packages) or "none"


def _timed(was: Material, now: Material) -> benchmark.Comparison:
    if was.shipped is None or now.shipped is None:
        raise errors.BadInputError("one of the two holds no .tflite, so they cannot be timed; name packages")
    return benchmark.compare(now.shipped.path, was.shipped.path)


def _sections(was: Material, now: Material) -> Iterator[Section]:
    made = (_bytes(was, now), _layers(was, now), _answers(was, now), _recipe(was, now), _provenance(was, now))
    yield from (section for section in made if section is not None)


def _bytes(was: Material, now: Material) -> Section | None:
    if was.shipped is None or now.shipped is None:
        return None
    before, after = byte_ledger(was.shipped.model), byte_ledger(now.shipped.model)
    rows = [_row(purpose, before.get(purpose), count) for purpose, count in after.items()]
    return Section(
        id="bytes", title="Bytes", blocks=(table("Bytes of the .tflite by purpose", _COLUMNS, rows),)
    )


_COLUMNS = (
    Column(title="What"),
    Column(title="Old", number=True),
    Column(title="New", number=True),
    Column(title="Change", number=True),
)


def _row(name: str, before: int | None, after: int | None) -> list[Cell]:
    change = (after or 0) - (before or 0)
    return [
        cell(name),
        cell(figures.UNKNOWN if before is None else f"{before:,}", "" if before is None else before),
        cell(figures.UNKNOWN if after is None else f"{after:,}", "" if after is None else after),
        cell(f"{'+' if change > 0 else '−' if change < 0 else ''}{abs(change):,}", change),
    ]


def _layers(was: Material, now: Material) -> Section | None:
    before, after = ({part.layer: part for part in parts(each)} for each in (was, now))
    if not before or not after:
        return None
    if not set(before) & set(after) and len(before) == len(after):  # a package does not know Keras names
        before = dict(zip(after, before.values(), strict=True))
    names = [*after, *(name for name in before if name not in after)]
    rows = [_row(name, _weight(before.get(name)), _weight(after.get(name))) for name in names]
    told = [_told(name, before.get(name), after.get(name)) for name in names]
    lines = [line for line in told if line]
    blocks: list[Block] = [table("Bytes by layer", _COLUMNS, rows)]
    blocks.append(
        Notice(text="Other changes:", lines=tuple(lines)) if lines else Text(text="Nothing else changed.")
    )
    return Section(id="layers", title="Layers", blocks=tuple(blocks))


def _weight(part: Part | None) -> int | None:
    return None if part is None else part.size_bytes


def _told(name: str, before: Part | None, after: Part | None) -> str:
    if before is None or after is None:
        return f"{name}: {'new' if before is None else 'gone'}"
    changed = []
    if before.shape != after.shape:
        changed.append(f"kernel {'×'.join(map(str, before.shape))} → {'×'.join(map(str, after.shape))}")
    if figures.share(before.sparsity) != figures.share(after.sparsity):
        changed.append(f"zeros {figures.share(before.sparsity)} → {figures.share(after.sparsity)}")
    if before.distinct != after.distinct:
        changed.append(f"values {before.distinct} → {after.distinct}")
    if before.bits != after.bits:
        changed.append(f"bits {before.bits} → {after.bits}")
    return f"{name}: {', '.join(changed)}" if changed else ""


def _answers(was: Material, now: Material) -> Section | None:
    """Whether both answer alike, where both runs kept answers to the same samples."""
    before, after = was.evidence, now.evidence
    if before is None or after is None or before.before.shape != after.before.shape or before.before.ndim < 2:
        return None
    labels = before.labels, after.labels
    if labels[0] is not None and (labels[1] is None or not np.array_equal(labels[0], labels[1])):
        return None
    from edgepack.report.answers import decided

    old = decided(before, was.packaged.sha256["tflite"])
    new = decided(after, now.packaged.sha256["tflite"])
    if old is None or new is None:
        return None
    facts = [
        (
            "Samples answered differently",
            f"{int((old.after != new.after).any(axis=1).sum()):,} of {len(old.after):,}",
        )
    ]
    if old.labels is not None:
        right = old.after == old.labels, new.after == new.labels
        facts += [
            ("Right only in the old release", f"{int((right[0] & ~right[1]).sum()):,}"),
            ("Right only in the new release", f"{int((~right[0] & right[1]).sum()):,}"),
        ]
    return Section(
        id="answers",
        title="Answers",
        lead="Both shipped models on the same evaluation samples.",
        blocks=(Facts(facts=tuple(facts)),),
    )


def _recipe(was: Material, now: Material) -> Section | None:
    before, after = was.subject.recipe_text, now.subject.recipe_text
    if before is None or after is None:
        return None
    lines = [
        line.rstrip()
        for line in difflib.unified_diff(
            before.splitlines(), after.splitlines(), "old", "new", n=1, lineterm=""
        )
    ]
    blocks: tuple[Block, ...] = (Notice(text="Lines that differ:", lines=tuple(lines[2:])),)
    return Section(
        id="recipe", title="Recipe", blocks=blocks if lines else (Text(text="Both recipes are the same."),)
    )


def _provenance(was: Material, now: Material) -> Section:
    facts: list[tuple[str, str]] = []
    for key, title in (("model", "Source model"), ("tflite", ".tflite")):
        before, after = (each.packaged.sha256.get(key, "") for each in (was, now))
        facts.append((title, "the same bytes" if before == after and before else "differs"))
    facts += _versions(was.subject.build.versions, now.subject.build.versions)
    return Section(id="environment", title="Environment and provenance", blocks=(Facts(facts=tuple(facts)),))


def _versions(before: Mapping[str, str], after: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    told = [
        (name, f"{before[name]} → {after[name]}")
        for name in sorted({*before} & {*after})
        if before[name] != after[name]
    ]
    return told or [("Versions", "all the same")]
