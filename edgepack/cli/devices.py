"""``edgepack devices``: the profiles that ``--device`` takes."""

from __future__ import annotations

import json

import click


@click.command("devices")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.devices/1).")
def command(name: str | None, as_json: bool) -> int:
    """List the device profiles, or show the profile NAME with the sources of its numbers."""
    from edgepack import device

    profiles = [device.load(name)] if name else [device.load(each) for each in device.names()]
    if as_json:
        told = [profile.model_dump(mode="json") for profile in profiles]
        click.echo(json.dumps({"schema": "edgepack.devices/1", "devices": told}, indent=1))
    elif name:
        click.echo(device.describe(profiles[0]))
    else:
        for profile in profiles:
            click.echo(f"{profile.name:<22} {profile.kind:<4} {profile.title}")
    return 0
