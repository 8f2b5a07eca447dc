"""``edgepack report``: a run or a package as one page."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("subject", metavar="RUN|PACKAGE", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Where to write it."
)
@click.option("--against", type=click.Path(path_type=Path), metavar="OLD", help="Compare with this release.")
@click.option("--open", "show", is_flag=True, help="Open it in the browser.")
def command(subject: Path, out: Path | None, against: Path | None, show: bool) -> int:
    """Write one self-contained page about RUN (the folder with build.json) or PACKAGE."""
    from edgepack.durable import write_atomically
    from edgepack.report.contents import reported
    from edgepack.report.page import rendered
    from edgepack.report.subject import opened

    found = opened(subject)
    report = reported(found, opened(against) if against is not None else None)
    target = out or found.folder / "report.html"
    write_atomically(target, rendered("report.html.jinja", report=report).encode())
    click.echo(str(target))
    if show:
        click.launch(target.resolve().as_uri())
    return 0
