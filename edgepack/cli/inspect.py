"""``edgepack inspect``: what a model file or a package holds, read without running anything."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.inspect/1).")
def command(file: Path, as_json: bool) -> int:
    """Show what is in FILE (.keras, .h5, .tflite or .edgepack). Nothing in it is run."""
    from edgepack.cli import inspection
    from edgepack.cli.opening import kind_of

    found = inspection.of(file, kind_of(file))
    if as_json:
        click.echo(json.dumps({"schema": "edgepack.inspect/1", "file": str(file), **found}, indent=1))
    else:
        inspection.show(file, found)
    return 0
