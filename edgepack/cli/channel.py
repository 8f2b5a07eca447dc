"""``edgepack channel``: updates over the air."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from edgepack.cli.visible import say

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group("channel")
def command() -> None:
    """Publish packages for devices that run edgepack-agent: a TUF repository in a folder."""


def placed(function: Callable[..., Any]) -> Callable[..., Any]:
    """FOLDER and --keys, which every subcommand takes."""
    function = click.option(
        "--keys",
        "key_folder",
        type=FOLDER,
        required=True,
        help="Folder of the private keys; never publish it.",
    )(function)
    return click.argument("folder", type=FOLDER)(function)


@command.command("init")
@placed
@click.option("--family", required=True, help="Name of the device family.")
@click.option("--root-keys", type=click.IntRange(1, 16), default=3, show_default=True)
@click.option("--root-threshold", type=click.IntRange(1, 16), default=2, show_default=True)
def init(folder: Path, key_folder: Path, family: str, root_keys: int, root_threshold: int) -> int:
    """Make the channel FOLDER and its keys. Keep the root keys apart and offline."""
    from edgepack.channel import create

    create(folder, key_folder, family=family, now=_now(), root_keys=root_keys, root_threshold=root_threshold)
    click.echo(f"→ {folder}: give each device {folder}/metadata/1.root.json; keys in {key_folder}")
    return 0


@command.command("add")
@placed
@click.argument("package", type=FILE)
@click.option(
    "--key", "public_keys", type=FILE, multiple=True, help="Public key that must have signed PACKAGE."
)
@click.option("--trust", type=FILE, help="Trust file that names the keys.")
@click.option("--allow-unsigned", is_flag=True, help="Take a package that nobody vouches for.")
def add(
    folder: Path,
    key_folder: Path,
    package: Path,
    public_keys: tuple[Path, ...],
    trust: Path | None,
    allow_unsigned: bool,
) -> int:
    """Publish PACKAGE in the channel FOLDER, with deltas from the releases before it."""
    from edgepack.bundle import admit
    from edgepack.channel import Channel

    bundle = admit(package, keys=public_keys, trust=trust, allow_unsigned=allow_unsigned)
    release = Channel(folder, key_folder, now=_now()).add(bundle)
    say(f"→ {release.target}: release {release.counter} of {release.lineage}, {release.bytes:,} bytes")
    return 0


@command.command("rotate")
@placed
@click.option("--role", required=True, help="root, targets, snapshot or timestamp.")
def rotate(folder: Path, key_folder: Path, role: str) -> int:
    """Give ROLE a new key and revoke its oldest one."""
    from edgepack.channel import Channel

    identity = Channel(folder, key_folder, now=_now()).rotate(role)
    click.echo(f"{role}: new key {identity[:16]}…; the oldest is revoked")
    return 0


@command.command("refresh")
@placed
def refresh(folder: Path, key_folder: Path) -> int:
    """Sign snapshot and timestamp anew: run it more often than the timestamp lives (a day)."""
    from edgepack.channel import Channel

    Channel(folder, key_folder, now=_now()).refresh()
    click.echo(f"{folder}: timestamp and snapshot are fresh")
    return 0


@command.command("list")
@click.argument("folder", type=FOLDER)
def releases(folder: Path) -> int:
    """Show the releases in the channel FOLDER."""
    from edgepack.channel import Channel

    for release in Channel(folder, folder, now=_now()).releases():
        say(f"{release.lineage} {release.version}: release {release.counter}, {release.bytes:,} bytes")
    return 0


def _now() -> datetime:
    return datetime.now(timezone.utc)
