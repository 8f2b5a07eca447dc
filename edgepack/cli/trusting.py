"""The options by which a command is told whom to trust."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., object])


def trust_options(command: Command) -> Command:
    """Adds ``--key`` (as `keys`) and ``--trust``, as `bundle.admit` takes them."""
    for option in (
        click.option(
            "--trust",
            type=click.Path(path_type=Path, dir_okay=False),
            help="Trust file: keys, what they may sign, what is revoked (.toml).",
        ),
        click.option(
            "--key",
            "keys",
            multiple=True,
            type=click.Path(path_type=Path, dir_okay=False),
            help="Public key that is trusted; repeatable.",
        ),
    ):
        command = option(command)
    return command
