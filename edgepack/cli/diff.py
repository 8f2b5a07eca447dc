"""``edgepack diff``: what changed between two releases, and whether it got worse."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

Format = Literal["text", "html", "md", "json"]


@click.command("diff")
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option(
    "--fail-on",
    default="",
    metavar="ASPECTS",
    help="Exit 10 where one of drop, bytes, latency got worse, or by more than drop=0.002,bytes=1%,latency=5%.",
)
@click.option("--measure", is_flag=True, help="Time both models here in turns.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where to write it."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html", "md", "json"]),
    default=None,
    help="By default text on the screen, and what FILE's name says in a file.",
)
@click.option("--open", "show", is_flag=True, help="Open the page in the browser.")
def command(
    old: Path, new: Path, fail_on: str, measure: bool, out: Path | None, form: Format | None, show: bool
) -> int:
    """Compare two packages or runs: metric, bytes, latency, layers, answers."""
    from edgepack.cli.pages import delivered
    from edgepack.report.comparison import compared
    from edgepack.report.page import rendered
    from edgepack.report.plain import as_json, as_markdown, as_text
    from edgepack.report.regressions import allowances
    from edgepack.report.subject import opened

    found = compared(opened(old), opened(new), allowances(fail_on), measure=measure)
    chosen = form or _told_by(out)
    if chosen == "html":
        target = out or Path("diff.html")
        delivered(rendered("report.html.jinja", report=found.report), target, show=show)
    elif chosen == "json":
        delivered(as_json(found.report, found.changes), out, show=False)
    else:
        text = as_markdown(found.report) if chosen == "md" else as_text(found.report)
        delivered(text, out, show=False)
    return 0 if found.passed else 10


def _told_by(out: Path | None) -> Format:
    suffixes: dict[str, Format] = {".html": "html", ".md": "md", ".json": "json"}
    return suffixes.get(out.suffix, "text") if out is not None else "text"
