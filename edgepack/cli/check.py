"""``edgepack check``: everything that can be validated without TensorFlow, and the plan."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("check")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--device", "devices", multiple=True, metavar="NAME", help="Check against this device profile; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON (edgepack.check/1).")
def command(recipe: Path, devices: tuple[str, ...], as_json: bool) -> int:
    """Validate RECIPE, its model and its data, and show which stage does what to which layer."""
    from edgepack.pipeline.preflight import preflight
    from edgepack.recipe import load

    found = preflight(load(recipe), devices)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=1))
    else:
        click.echo(found.text())
    return 0
