"""What was noticed about the data, calibration above all."""

from __future__ import annotations

from typing import Literal

from edgepack.report.blocks import Block, Notice, Section, Text
from edgepack.report.material import Material


def section(material: Material) -> Section | str:
    """The section, or why there is none."""
    if material.subject.kind == "package":
        return "lint of the data: it lies with the build, not in the package"
    findings = material.subject.build.findings
    blocks: list[Block] = [
        Notice(text=f"{finding.level.capitalize()}: {finding.text}", level=_level(finding.level))
        for finding in findings
    ]
    if not blocks:
        blocks = [Text(text="Nothing to report: ranges, classes, duplicates and leakage were looked at.")]
    return Section(id="data", title="Calibration and evaluation data", blocks=tuple(blocks))


def _level(level: str) -> Literal["note", "warning"]:
    return "warning" if level in ("warning", "error") else "note"
