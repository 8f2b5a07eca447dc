"""``edgepack flash``: a package's model into a board's flash, read back afterwards."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from edgepack.cli.deliver import FILE, number
from edgepack.cli.parameters import DEVICE


@click.command("flash")
@click.argument("package", type=FILE)
@click.option(
    "--device", "device_name", required=True, type=DEVICE, metavar="NAME", help="Profile of the board."
)
@click.option("--port", help="Serial port, debug probe, or folder of the board's UF2 drive.")
@click.option("--address", required=True, callback=number, metavar="ADDRESS", help="Where the model goes.")
@click.option("--slot-bytes", callback=number, metavar="BYTES", help="What it may take there.")
@click.option(
    "--key", "keys", type=FILE, multiple=True, help="Public key that must have signed PACKAGE; repeatable."
)
@click.option("--trust", type=FILE, help="Trust file that names the keys.")
@click.option("--allow-unsigned", is_flag=True, help="Take a package that nobody vouches for.")
@click.option("--json", "as_json", is_flag=True, help="Print what was done as JSON (edgepack.flash/1).")
def command(
    package: Path,
    device_name: str,
    port: str | None,
    address: int,
    slot_bytes: int | None,
    keys: tuple[Path, ...],
    trust: Path | None,
    allow_unsigned: bool,
    as_json: bool,
) -> int:
    """Write the model of PACKAGE into a board's flash, after checking signature, sizes and place, and read it back."""
    from edgepack import device
    from edgepack.bundle import admit
    from edgepack.deliver.mcu.flashing import flash
    from edgepack.deliver.subject import Subject

    bundle = admit(package, keys=keys, trust=trust, allow_unsigned=allow_unsigned)
    board = device.load(device_name, beside=Path.cwd())
    done = flash(Subject.of(bundle), board, port=port, address=address, slot_bytes=slot_bytes)
    if as_json:
        click.echo(json.dumps({"schema": "edgepack.flash/1", "device": board.name, **asdict(done)}))
        return 0
    click.echo(
        f"{done.size:,} bytes at {done.address:#x} by {done.tool}: "
        + ("read back equal" if done.verified else done.remark)
    )
    return 0
