"""The options by which a command is told whom to trust."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., object])


def trust_options(command: Command) -> Command:
    """Adds ``--key`` (as `keys`), ``--trust`` and ``--signature``, as `bundle.verify` and `bundle.admit` take them."""
    for option in (
        click.option(
            "--signature",
            type=click.Path(path_type=Path, dir_okay=False),
            help="[default: PACKAGE.sig, beside it]",
        ),
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


def allow_unsigned_option(command: Command) -> Command:
    """Adds ``--allow-unsigned``, for commands that call `bundle.admit`."""
    return click.option(
        "--allow-unsigned",
        is_flag=True,
        help="Take a package that nobody vouches for, without --key or --trust.",
    )(command)
