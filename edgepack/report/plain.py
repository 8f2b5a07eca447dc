"""A report for scripts and for pull requests: the same content as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from edgepack.report.blocks import Block, Pictures
from edgepack.report.contents import Report
from edgepack.report.page import rendered_text
from edgepack.report.regressions import Change

SCHEMA: Final = "edgepack.report/1"
DIFF_SCHEMA: Final = "edgepack.diff/1"


def as_json(report: Report, changes: Sequence[Change] | None = None) -> str:
    """The report, or with changes the diff, as one JSON object; pictures are told by caption and numbers."""
    document: dict[str, Any] = {
        "schema": SCHEMA if changes is None else DIFF_SCHEMA,
        "title": report.title,
        "status": "passed" if report.passed else "failed",
        "verdict": report.verdict,
        "headline": report.headline,
        "reasons": list(report.reasons),
        "against": report.against or None,
        "devices": [asdict(device) for device in report.devices],
        **({} if changes is None else {"changes": [asdict(change) for change in changes]}),
        "sections": [
            {
                "id": section.id,
                "title": section.title,
                "lead": section.lead,
                "blocks": list(map(_block, section.blocks)),
            }
            for section in report.sections
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _block(block: Block) -> dict[str, Any]:
    if isinstance(block, Pictures):
        pictures = [
            {"caption": each.caption, "numbers": asdict(each.numbers) if each.numbers is not None else None}
            for each in block.pictures
        ]
        return {"kind": "pictures", "pictures": pictures}
    return asdict(block)


def as_markdown(report: Report) -> str:
    """A summary for a pull request: the top, what each stage did, and what is worth a look.

    Names that come from a model are escaped: they can neither make links nor mention people nor break a table.
    """
    return rendered_text("summary.md.jinja", report=report)


def as_text(report: Report) -> str:
    """What a person at a terminal wants to know of a comparison."""
    return rendered_text("summary.txt.jinja", report=report)
