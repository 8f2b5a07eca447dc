"""A subject becomes a report: its top, its sections; what every format is made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edgepack import __version__
from edgepack.report import summary
from edgepack.report.blocks import Section
from edgepack.report.documents import Packaged
from edgepack.report.sections import stages
from edgepack.report.subject import Subject
from edgepack.report.summary import Gauge

SECTIONS: Final[tuple[Callable[[Subject, Packaged], Section | None], ...]] = (stages.section,)
"""In the order of the page."""


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
      against: name of the release that is compared with; "" without one.
    """

    title: str
    passed: bool
    headline: str
    reasons: tuple[str, ...]
    devices: tuple[DeviceTop, ...]
    sections: tuple[Section, ...]
    against: str = ""
    footer: str = f"Made by edgepack {__version__}. This page fetches nothing and sends nothing."


def reported(subject: Subject, against: Subject | None = None) -> Report:
    """Everything that is known of a subject, drawn and in words."""
    previous = {item.device: item for item in against.packages} if against is not None else {}
    devices = tuple(
        DeviceTop(
            name=item.device or "",
            passed=item.passed,
            gauges=tuple(summary.gauges(item, previous.get(item.device))),
        )
        for item in subject.packages
    )
    detailed = next((item for item in subject.packages if item.sizes is not None), None)
    found = [make(subject, detailed) for make in SECTIONS] if detailed is not None else []
    return Report(
        title=subject.title,
        passed=subject.passed,
        headline=summary.headline(subject.packages),
        reasons=subject.build.reasons,
        devices=devices,
        sections=tuple(section for section in found if section is not None),
        against=against.title if against is not None else "",
    )
