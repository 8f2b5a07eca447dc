"""``edgepack report``: a run, a search or a package as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

Format = Literal["html", "md", "json", "nodes"]


@click.command("report")
@click.argument("subject", metavar="RUN|PACKAGE", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where to write it."
)
@click.option(
    "--against", type=click.Path(path_type=Path), metavar="OLD", help="Compare with this run or package."
)
@click.option("--device", metavar="NAME", help="Of a run for several devices: the one to look into.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "md", "json", "nodes"]),
    default="html",
    show_default=True,
    help="A page, a summary for a pull request, JSON (edgepack.report/1), or node data for Model Explorer.",
)
@click.option("--measure", is_flag=True, help="Time the float and the shipped model here in turns.")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def command(
    subject: Path,
    out: Path | None,
    against: Path | None,
    device: str | None,
    form: Format,
    measure: bool,
    show: bool,
) -> int:
    """Write one self-contained page about RUN (the folder with build.json) or PACKAGE.

    It lies in RUN as report.html unless --out says otherwise; the other formats go to the screen.
    """
    from edgepack.cli.pages import delivered
    from edgepack.report.contents import reported
    from edgepack.report.subject import opened

    found = opened(subject)
    if form == "nodes":
        from edgepack.report.node_data import node_data

        return delivered(node_data(found, device), out, show=False)
    previous = opened(against) if against is not None else None
    report = reported(found, previous, device=device, measure=measure)
    if form == "html":
        from edgepack.report.page import rendered

        target = out or found.folder / "report.html"
        return delivered(rendered("report.html.jinja", report=report), target, show=show)
    from edgepack.report.plain import as_json, as_markdown

    return delivered(as_json(report) if form == "json" else as_markdown(report), out, show=False)
