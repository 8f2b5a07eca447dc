"""How the answers changed: confusion, classes, confidence, and the samples themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.numerics import labelling
from edgepack.numerics.reliability import Reliability
from edgepack.report import figures
from edgepack.report.answers import Decided, decided, numbers_moved
from edgepack.report.blocks import (
    Block,
    Column,
    Example,
    Examples,
    Facts,
    Picture,
    Pictures,
    Section,
    Text,
    cell,
    table,
)
from edgepack.report.evidence import Evidence
from edgepack.report.material import Material
from edgepack.report.pictures import dots, histogram, matrix
from edgepack.report.thumbnails import pictured, thumbnail

Array = npt.NDArray[Any]
MOST_EXAMPLES: Final = 24
MOST_DRAWN: Final = 40
"""Classes in a matrix; of more only the table."""


def section(material: Material) -> Section | str:
    """The section, or why there is none."""
    evidence, digest = material.evidence, material.packaged.sha256.get("tflite", "")
    if evidence is None:
        return f"answers on the evaluation data: {material.without_evidence}"
    found = decided(evidence, digest)
    blocks = [*(_classes(evidence, found) if found is not None else _numbers(evidence, digest))]
    seen = len(evidence.before)
    lead = f"Float model and .tflite on the same {seen:,} evaluation samples"
    lead += "." if seen == evidence.count else f" (the first of {evidence.count:,})."
    return Section(id="answers", title="Answers", lead=lead, blocks=tuple(blocks))


def _classes(evidence: Evidence, found: Decided) -> Iterator[Block]:
    changed = found.changed
    facts = [
        (
            "Samples whose answer changed",
            f"{len(changed):,} ({figures.share(len(changed) / len(found.before))})",
        )
    ]
    if found.labels is not None:
        right = [(answers == found.labels) for answers in (found.before, found.after)]
        facts += [
            ("Right only in the float model", f"{int((right[0] & ~right[1]).sum()):,}"),
            ("Right only as shipped", f"{int((~right[0] & right[1]).sum()):,}"),
        ]
    if found.reliabilities is not None:
        before, after = (each.expected_error for each in found.reliabilities)
        softmax = ", from softmax of the outputs" if found.from_logits else ""
        facts.append(("Calibration error (ECE)", f"float {before:.4f}, shipped {after:.4f}{softmax}"))
    yield Facts(facts=tuple(facts))
    if found.labels is not None:
        yield from _per_class(evidence, found)
    yield from _changed(evidence, found)


def _per_class(evidence: Evidence, found: Decided) -> Iterator[Block]:
    names = [evidence.class_name(number) for number in range(found.classes)]
    counts = [found.confusion(answers) for answers in (found.before, found.after)]
    samples = counts[0].sum(axis=1)
    recall = [np.diag(each) / np.maximum(samples, 1) for each in counts]
    order = [number for number in np.argsort(recall[1] - recall[0], kind="stable") if samples[number]]
    columns = (
        Column(title="Class"),
        Column(title="Samples", number=True),
        Column(title="Float", number=True),
        Column(title="Shipped", number=True),
        Column(title="Change", number=True),
    )
    numbers = table(
        "Recall by class, the largest loss first",
        columns,
        [
            [
                cell(names[number]),
                cell(f"{samples[number]:,}", int(samples[number])),
                *(cell(figures.share(each[number]), float(each[number])) for each in recall),
                cell(
                    _points(recall[1][number] - recall[0][number]),
                    float(recall[1][number] - recall[0][number]),
                ),
            ]
            for number in order
        ],
        folded="The numbers" if len(order) <= MOST_DRAWN else "",
    )
    pictures = []
    if found.classes <= MOST_DRAWN:
        caption = "Shipped model: labels and answers, counts"
        pictures.append(Picture(caption=caption, description=matrix.confusion(counts[1], names), wide=True))
    shown = order[:MOST_DRAWN]
    caption = "Recall by class: grey float, blue shipped" + (
        "" if len(shown) == len(order) else ", the largest losses"
    )
    rows = [(names[number], float(recall[0][number]), float(recall[1][number])) for number in shown]
    pictures.append(Picture(caption=caption, description=dots.dumbbells(_distinct(rows), unit="recall")))
    if found.reliabilities is not None:
        pictures.append(_confidence(found.reliabilities))
    yield Pictures(pictures=tuple(pictures))
    yield numbers


def _distinct(rows: list[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Two classes of one name would be drawn as one row."""
    seen: dict[str, int] = {}
    told = []
    for name, before, after in rows:
        seen[name] = seen.get(name, 0) + 1
        told.append((name if seen[name] == 1 else f"{name} ({seen[name]})", before, after))
    return told


def _points(change: float) -> str:
    sign = "+" if change > 0 else "−" if change < 0 else ""
    return f"{sign}{abs(100 * change):.1f} points"


def _confidence(both: tuple[Reliability, Reliability]) -> Picture:
    rows = [
        {
            "x": float(each.confidence[number]),
            "y": float(each.accuracy[number]),
            "who": who,
            "told": f"{who}: sure at {each.confidence[number]:.2f}, right in {each.accuracy[number]:.2f} "
            f"of {each.counts[number]:,}",
        }
        for who, each in zip(("float", "shipped"), both, strict=True)
        for number in np.flatnonzero(each.counts)
    ]
    caption = "How often an answer is right by how sure the model is (ideal: on the dashed line)"
    description = dots.lines(rows, x="confidence", y="right", diagonal=True)
    return Picture(caption=caption, description=description)


def _changed(evidence: Evidence, found: Decided) -> Iterator[Block]:
    pictures = pictured(evidence)
    examples = []
    kept = {*evidence.rows.tolist()}
    for sample in sorted(found.changed.tolist(), key=lambda sample: sample not in kept)[:MOST_EXAMPLES]:
        place = int(np.flatnonzero(found.before[sample] != found.after[sample])[0])
        before, after = int(found.before[sample, place]), int(found.after[sample, place])
        label = None if found.labels is None else int(found.labels[sample, place])
        change = "" if label not in (before, after) else "worse" if before == label else "better"
        headline = {"worse": "became wrong", "better": "became right", "": "changed"}[change]
        more = int((found.before[sample] != found.after[sample]).sum()) - 1
        examples.append(
            Example(
                number=sample,
                headline=headline + (f", and {more} more" if more else ""),
                before=evidence.class_name(before),
                after=evidence.class_name(after),
                label="" if label is None else evidence.class_name(label),
                image=thumbnail(evidence, sample) if pictures else "",
                change=change,
            )
        )
    yield Text(kind="heading", text="Samples whose answer changed")
    if not examples:
        yield Text(text="None: both models decide alike on every sample.")
        return
    if len(found.changed) > len(examples):
        yield Text(text=f"{len(examples)} of {len(found.changed):,}, those that became wrong first.")
    yield Examples(examples=tuple(examples))


def _numbers(evidence: Evidence, digest: str) -> Iterator[Block]:
    """Answers that are numbers: how far off both are, and what moved most."""
    before, after = evidence.before.astype(np.float64), evidence.after[digest].astype(np.float64)
    moved = numbers_moved(evidence, digest)
    facts = [
        ("Median change of a sample's answer", f"{np.median(moved):.4g}"),
        ("Largest change", f"{moved.max():.4g}"),
        ("Range of the float model's answers", f"{before.min():.4g} … {before.max():.4g}"),
    ]
    yield Facts(facts=tuple(facts))
    targets = _targets(evidence)
    pictures = [_overlay("Answers", before.ravel(), after.ravel(), "answer")]
    if targets is not None:
        wrong = [labelling.sample_errors("mae", answers, targets) for answers in (before, after)]
        pictures.append(_overlay("Absolute error by sample", wrong[0], wrong[1], "absolute error"))
    yield Pictures(pictures=tuple(pictures))
    yield from _moved_most(evidence, moved, before, after, targets)


def _targets(evidence: Evidence) -> Array | None:
    labels = evidence.labels
    if labels is None or labels.dtype.kind not in "biuf" or labels.size != evidence.before.size:
        return None
    return labels.reshape(evidence.before.shape).astype(np.float64)


def _overlay(title: str, before: Array, after: Array, unit: str) -> Picture:
    low, high = float(min(before.min(), after.min())), float(max(before.max(), after.max()))
    high = high if high > low else low + 1.0
    shares = [
        np.histogram(values, bins=40, range=(low, high))[0] / max(1, values.size)
        for values in (before, after)
    ]
    caption = f"{title}: grey float, blue shipped"
    description = histogram.overlaid(shares[0].tolist(), shares[1].tolist(), low=low, high=high, unit=unit)
    return Picture(caption=caption, description={**description, "width": 340, "height": 160})


def _moved_most(
    evidence: Evidence,
    moved: Array,
    before: Array,
    after: Array,
    targets: Array | None,
) -> Iterator[Block]:
    pictures = pictured(evidence)
    examples = []
    for sample in np.argsort(-moved, kind="stable")[: MOST_EXAMPLES // 2].tolist():
        place = int(np.abs(after[sample] - before[sample]).reshape(-1).argmax())
        values = [float(each[sample].reshape(-1)[place]) for each in (before, after)]
        target = None if targets is None else float(targets[sample].reshape(-1)[place])
        change = ""
        if target is not None:
            change = "worse" if abs(values[1] - target) > abs(values[0] - target) else "better"
        examples.append(
            Example(
                number=sample,
                headline=f"moved by {moved[sample]:.4g}",
                before=f"{values[0]:.4g}",
                after=f"{values[1]:.4g}",
                label="" if target is None else f"{target:.4g}",
                image=thumbnail(evidence, sample) if pictures else "",
                change=change,
            )
        )
    yield Text(kind="heading", text="Samples whose answer moved most")
    yield Examples(examples=tuple(examples))
