"""``edgepack devices probe``: what a device is and how fast its operators are, into a profile."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgepack.cli.visible import say

if TYPE_CHECKING:
    from edgepack.device import Device


@click.command("probe")
@click.argument("target", metavar="NAME|HOST")
@click.option("--host", metavar="USER@HOST", help="Which device it is, where NAME does not say.")
@click.option("--name", "new_name", metavar="NAME", help="Of the new profile.  [default: from NAME|HOST]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("devices"),
    show_default=True,
    help="Folder of the profile; its table goes to latency/ in it.",
)
@click.option("--no-table", is_flag=True, help="Do not measure operators, which takes some minutes.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.probe/1).")
def command(
    target: str, host: str | None, new_name: str | None, out: Path, no_table: bool, as_json: bool
) -> int:
    """Measure a device that can be reached: a profile's (NAME, NAME@HOST, or "host" for this machine) or any HOST by ssh.

    Its profile and its table of measured operators are written to --out, where other commands find them by name.
    """
    from edgepack.remote.probing import probe

    found = _target(target, host)
    name = new_name or _name(target if found.name == "linux" else f"{found.name}-probed")
    done = probe(found, name, out, kind=found.name, with_table=not no_table)
    if as_json:
        told = {
            "schema": "edgepack.probe/1",
            "device": name,
            "profile": str(done.profile),
            "table": str(done.table) if done.table else None,
            "facts": done.facts,
            "warnings": list(done.warnings),
        }
        say(json.dumps(told, indent=1))
        return 0
    say(
        f"{done.facts['cpu']}: {done.facts['cores']} cores, {done.facts['system']}, Python {done.facts['python']}"
    )
    say(f"→ {done.profile}" + (f", {done.table}" if done.table else ", no table of operators"))
    for warning in done.warnings:
        say(f"warning: {warning}")
    return 0


def _target(text: str, host: str | None) -> Device:
    """A device of a known kind, or any Linux computer."""
    from edgepack import device

    beside = Path.cwd()
    if text.partition("@")[0] in device.names(beside) or text.endswith(".toml"):
        return device.load(text, beside=beside, host=host)
    return device.load("linux", beside=beside, host=text)


def _name(text: str) -> str:
    return (
        re.sub(r"[^a-z0-9.-]+", "-", text.lower().rpartition("@")[2].rpartition("/")[2]).strip("-.")[:64]
        or "device"
    )
