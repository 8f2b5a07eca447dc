"""``edgepack slim``: anyone's .tflite in fewer bytes, with the same answers."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("slim")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .tflite to write.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.slim/1).")
def command(file: Path, out: Path, as_json: bool) -> int:
    """Write FILE (.tflite) without what says nothing: copies, idle names, ranges, padding.

    Both files are run on the same inputs; where one bit of an answer differs, or nothing can be saved, OUT is FILE.
    """
    from edgepack import exact
    from edgepack.cli import rewriting

    found = rewriting.rewritten(file, out, exact.slimmed)
    if as_json:
        click.echo(rewriting.as_json("edgepack.slim/1", file, out, found))
    else:
        rewriting.show(out, found)
    return 0
