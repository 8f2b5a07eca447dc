"""A subject becomes a report: its top, its sections; what every format is made from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgepack import __version__, benchmark, errors
from edgepack.benchmark import Comparison
from edgepack.report import summary
from edgepack.report.anatomy import parts
from edgepack.report.blocks import Section
from edgepack.report.documents import Packaged
from edgepack.report.material import Material, collected
from edgepack.report.noise import pairs
from edgepack.report.sections import (
    answers,
    bytes,
    data,
    environment,
    front,
    latency,
    layers,
    robustness,
    stages,
)
from edgepack.report.subject import Subject
from edgepack.report.summary import Gauge


@dataclass(frozen=True, kw_only=True)
class DeviceTop:
    """The gauges of one device's model."""

    name: str
    passed: bool
    gauges: tuple[Gauge, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a page shows.

    Attributes:
      verdict: passed or failed in a word or two.
      against: name of the release that is compared with; "" without one.
    """

    title: str
    passed: bool
    verdict: str
    headline: str
    reasons: tuple[str, ...]
    devices: tuple[DeviceTop, ...]
    sections: tuple[Section, ...]
    against: str = ""
    footer: str = f"Made by edgepack {__version__}. This page fetches nothing and sends nothing."


def reported(
    subject: Subject, against: Subject | None = None, *, device: str | None = None, measure: bool = False
) -> Report:
    """Everything that is known of a subject.

    Args:
      against: the release to compare with.
      device: the one to look into; the first that has a model where None.
      measure: whether the float and the shipped model are timed here in turns.

    Raises:
      BadInputError: no such device, or a damaged file.
    """
    previous = {item.device: item for item in against.packages} if against is not None else {}
    devices = tuple(
        DeviceTop(
            name=item.device or "",
            passed=item.passed,
            gauges=tuple(summary.gauges(item, previous.get(item.device))),
        )
        for item in subject.packages
    )
    chosen = detailed(subject, device)
    sections: tuple[Section, ...] = ()
    if chosen is None and subject.tune is not None:
        searched = front.search(subject.tune)
        sections = () if isinstance(searched, str) else (searched,)
    if chosen is not None:
        with collected(subject, chosen) as material:
            sections = tuple(_sections(material, _timed(material) if measure else None))
    return Report(
        title=subject.title,
        passed=subject.passed,
        verdict="passed" if subject.passed else "failed",
        headline=summary.headline(subject.packages),
        reasons=subject.build.reasons,
        devices=devices,
        sections=sections,
        against=against.title if against is not None else "",
    )


def detailed(subject: Subject, device: str | None) -> Packaged | None:
    """The model to look into; None where there is none.

    Raises:
      BadInputError: no such device.
    """
    if device is None:
        return next((item for item in subject.packages if item.sizes is not None), None)
    for item in subject.packages:
        if item.device == device:
            return item
    known = ", ".join(item.device or "(no particular one)" for item in subject.packages)
    raise errors.BadInputError(
        f"{subject.path}: holds nothing for device {device!r}; it has {known or 'no model'}"
    )


def _timed(material: Material) -> Comparison:
    """The shipped model's time over the float model's, here and now."""
    if material.shipped is None or material.baseline is None:
        raise errors.BadInputError(
            f"{material.subject.path}: --measure times the float model as well, and it is not here: "
            f"{material.without_evidence}"
        )
    return benchmark.compare(material.shipped.path, material.baseline.path)


def _sections(material: Material, timed: Comparison | None) -> Iterator[Section]:
    """The page below its top, in order; what a subject does not hold is told at the end."""
    found = parts(material)
    measured = pairs(material, found)
    both = () if isinstance(measured, str) else measured
    made = (
        stages.section(material),
        front.section(material),
        answers.section(material),
        layers.section(material, found, both),
        bytes.section(material, found),
        latency.section(material, timed),
        robustness.section(material),
        data.section(material),
        environment.promises(material),
    )
    yield from (section for section in made if not isinstance(section, str))
    yield environment.section(material, [each for each in (*made, measured) if isinstance(each, str)])
