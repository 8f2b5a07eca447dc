"""``edgepack deliver``: a package in the form that its receiver expects."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgepack.cli.parameters import DEVICE

FILE = click.Path(path_type=Path, dir_okay=False)


def number(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """A number of bytes or an address: decimal, or hexadecimal after 0x."""
    try:
        found = None if value is None else int(value, 0)
    except ValueError:
        found = -1
    if found is not None and found < 0:
        raise click.BadParameter(f"{value!r} is no number of bytes (decimal, or hexadecimal after 0x)")
    return found


@click.command("deliver")
@click.argument("package", type=FILE)
@click.option(
    "--to", "receiver", required=True, metavar="RECEIVER", help="android, ios, mcu, linux or release."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write; NAME-VERSION-RECEIVER by default."
)
@click.option(
    "--key", "keys", type=FILE, multiple=True, help="Public key that must have signed PACKAGE; repeatable."
)
@click.option("--trust", type=FILE, help="Trust file that names the keys.")
@click.option("--allow-unsigned", is_flag=True, help="Take a package that nobody vouches for.")
@click.option("--device", "device_name", type=DEVICE, metavar="NAME", help="The board that it must fit.")
@click.option(
    "--namespace", default="com.example.models", show_default=True, help="Of app packages and bundles."
)
@click.option(
    "--flash-address", callback=number, metavar="ADDRESS", help="Where on the board the model lies."
)
@click.option("--slot-bytes", callback=number, metavar="BYTES", help="Size of the partition or slot for it.")
@click.option(
    "--security-counter", type=click.IntRange(0, 2**32 - 1), help="Of an MCUboot image, against rollback."
)
@click.option("--mcuboot-key", type=FILE, help="Private key that imgtool signs the MCUboot image with.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON (edgepack.deliver/1).")
def command(
    package: Path,
    receiver: str,
    out: Path | None,
    keys: tuple[Path, ...],
    trust: Path | None,
    allow_unsigned: bool,
    device_name: str | None,
    namespace: str,
    flash_address: int | None,
    slot_bytes: int | None,
    security_counter: int | None,
    mcuboot_key: Path | None,
    as_json: bool,
) -> int:
    """Write PACKAGE as its receiver expects it: an app's assets, a board's images, a system's package, a release."""
    from edgepack import device
    from edgepack.bundle import admit
    from edgepack.deliver import deliver
    from edgepack.deliver.options import Options
    from edgepack.deliver.subject import Subject

    bundle = admit(package, keys=keys, trust=trust, allow_unsigned=allow_unsigned)
    subject = Subject.of(bundle)
    options = Options(
        device=device.load(device_name, beside=Path.cwd()) if device_name else None,
        namespace=namespace,
        flash_address=flash_address,
        slot_bytes=slot_bytes,
        security_counter=security_counter,
        signing_key=str(mcuboot_key) if mcuboot_key else None,
    )
    target = out or Path(f"{subject.name}-{subject.version}-{receiver}")
    files = deliver(subject, receiver, options, target)
    if as_json:
        report = {"schema": "edgepack.deliver/1", "receiver": receiver, "folder": str(target.resolve())}
        click.echo(json.dumps({**report, "signed": subject.signed, "files": list(files)}, indent=1))
        return 0
    for name in files:
        click.echo(f"  {name}")
    click.echo(f"→ {target}" + ("" if subject.signed else " (of an unsigned package)"))
    return 0
