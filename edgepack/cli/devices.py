"""``edgepack devices``: the profiles that ``--device`` takes, and the devices behind them."""

from __future__ import annotations

import importlib
import json
from typing import Final

import click

from edgepack.cli.parameters import DEVICE

ELSEWHERE: Final[dict[str, tuple[str, str]]] = {
    "probe": ("edgepack.cli.probe", "Measure a device that can be reached and write its profile."),
    "emulate": ("edgepack.cli.emulate", "Set up a device's user space here, under an emulator."),
}


class _Devices(click.Group):
    """Imports what a rare subcommand needs only when it runs."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [*super().list_commands(context), *ELSEWHERE]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in ELSEWHERE:
            return super().get_command(context, name)
        found: click.Command = importlib.import_module(ELSEWHERE[name][0]).command
        return found

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        own = [(name, each.get_short_help_str(100)) for name, each in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl([*own, *((name, text) for name, (_, text) in ELSEWHERE.items())])


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.devices/1).")


@click.group("devices", cls=_Devices, invoke_without_command=True)
@as_json_option
@click.pass_context
def command(context: click.Context, as_json: bool) -> int:
    """List the device profiles: those of edgepack, of ./devices, and of the folder EDGEPACK_DEVICES."""
    if context.invoked_subcommand is not None:
        return 0
    from pathlib import Path

    from edgepack import device

    profiles = [device.load(each, beside=Path.cwd()) for each in device.names(Path.cwd())]
    if as_json:
        _print_json([profile.to_json() for profile in profiles])
        return 0
    for profile in profiles:
        click.echo(f"{profile.name:<22} {profile.kind:<4} {profile.title}")
    return 0


@command.command("show")
@click.argument("name", type=DEVICE)
@as_json_option
def show(name: str, as_json: bool) -> int:
    """Show the profile NAME with the sources of its numbers."""
    from pathlib import Path

    from edgepack import device

    profile = device.load(name, beside=Path.cwd())
    if as_json:
        _print_json([profile.to_json()])
    else:
        click.echo(device.describe(profile))
    return 0


def _print_json(told: list[dict[str, object]]) -> None:
    click.echo(json.dumps({"schema": "edgepack.devices/1", "devices": told}, indent=1))
