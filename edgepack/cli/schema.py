"""``edgepack schema``: what recipes and device profiles may say, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edgepack.recipe.schema import Subject


@click.command("schema")
@click.argument("subject", type=click.Choice(["recipe", "device"]))
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Write it here in place of stdout."
)
def command(subject: Subject, out: Path | None) -> int:
    """Print the JSON Schema of recipes or of device profiles, for editors that check TOML while you write.

    Name it in the first line of a recipe: #:schema ./recipe.schema.json
    """
    from edgepack.durable import write_atomically
    from edgepack.recipe.schema import json_schema

    text = json.dumps(json_schema(subject), indent=2, ensure_ascii=False) + "\n"
    if out is None:
        click.echo(text, nl=False)
    else:
        write_atomically(out, text.encode())
        click.echo(f"→ {out}\nnext: write '#:schema {out}' into the first line of your file", err=True)
    return 0
