"""``edgepack-agent``: the device's side of updates over the air."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from edgepack import __version__
from edgepack.cli.visible import say

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgepack-agent")
def group() -> None:
    """Fetch models from a channel, check them on this device, switch to them in one step."""


@group.command("init")
@click.argument("state", type=FOLDER)
@click.option("--channel", required=True, help="https://… or a folder.")
@click.option("--lineage", required=True, help="What to follow: the package's name, or NAME@DEVICE.")
@click.option("--root", type=FILE, required=True, help="The channel's 1.root.json, from where you trust it.")
def init(state: Path, channel: str, lineage: str, root: Path) -> int:
    """Set the folder STATE up; it must be on persistent storage."""
    from edgepack.agent import begin

    begin(state, channel=channel, lineage=lineage, root=root.read_bytes())
    click.echo(f"→ {state}: follows {lineage} in {channel}")
    return 0


@group.command("update")
@click.argument("state", type=FOLDER)
@click.option(
    "--runtime", type=click.Choice(["litert", "tflite-runtime"]), default="litert", show_default=True
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON (edgepack.agent/1).")
def update(state: Path, runtime: str, as_json: bool) -> int:
    """Bring STATE to the newest release. Exit 10 where the new model fails its check here; the old one stays."""
    from edgepack.agent import update as run

    outcome = run(state, lambda package: fault(package, runtime))
    if as_json:
        click.echo(json.dumps({"schema": "edgepack.agent/1", **asdict(outcome)}))
    else:
        now = f"{outcome.installed.lineage} {outcome.installed.version}" if outcome.installed else "no model"
        spent = f", {outcome.fetched_bytes:,} bytes fetched ({outcome.way})" if outcome.way else ""
        say(f"{outcome.status}: {now}{spent}" + (f"; {outcome.reason}" if outcome.reason else ""))
    return 10 if outcome.status == "rejected" else 0


@group.command("status")
@click.argument("state", type=FOLDER)
def status(state: Path) -> int:
    """Show what is installed in STATE, its model hashed anew."""
    from edgepack.agent import Slots

    found = Slots(state).current()
    click.echo(json.dumps({"schema": "edgepack.agent/1", "installed": asdict(found) if found else None}))
    return 0


def fault(package: Path, runtime: str) -> str | None:
    """What the golden vectors find wrong with this device's interpreter; None where all is well."""
    from edgepack import bundle, errors

    try:
        report = bundle.verify_golden(bundle.read(package), runtime=runtime)  # type: ignore[arg-type]
    except (errors.PackageError, errors.ModelError) as error:
        return str(error)
    wrong = [f"{each.name} is off by {each.difference:g}" for each in report.outputs if not each.holds]
    return f"golden vectors: {'; '.join(wrong)}" if wrong else None


def main(arguments: list[str] | None = None) -> None:
    """Runs the command and ends the process with the promised exit code."""
    from edgepack.cli import run

    sys.exit(run(arguments, group))
