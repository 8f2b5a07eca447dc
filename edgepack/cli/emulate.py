"""``edgepack devices emulate``: the aarch64 user space of a board, here."""

from __future__ import annotations

import json

import click

from edgepack.cli.parameters import DEVICE


@click.command("emulate")
@click.argument("name", type=DEVICE)
@click.option("--mirror", metavar="URL", help="Debian archive to take packages from; else that of apt here.")
@click.option("--again", is_flag=True, help="Set up anew, even where it is done.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.emulation/1).")
def command(name: str, mirror: str | None, again: bool, as_json: bool) -> int:
    """Set the board NAME up for emulation here: qemu, an aarch64 Debian, Python and LiteRT.

    Needs no root and changes nothing of the system: all of it goes to the user's cache folder. After that, `bench`
    and `build` with --device NAME --emulate run the model by the board's own code. Times are never taken there.
    """
    from edgepack import emulation

    machine = emulation.set_up(
        name, mirror=mirror, again=again, on_step=lambda step: click.echo(f"· {step}", err=True)
    )
    if as_json:
        told = {"device": name, "folder": str(machine.folder), "python": machine.python()}
        click.echo(json.dumps({"schema": "edgepack.emulation/1", **told}, indent=1))
    else:
        click.echo(f"{name} is emulated here: {machine.folder}")
    return 0
