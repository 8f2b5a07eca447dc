"""The passphrase of a private key: from the environment, for scripts, else from the person at the terminal."""

from __future__ import annotations

import os
import sys
from typing import Final

import click

from edgepack import errors

VARIABLE: Final = "EDGEPACK_KEY_PASSPHRASE"


def new_passphrase() -> bytes:
    """For a key that is being made; a terminal asks twice.

    Raises:
      BadInputError: there is neither the variable nor a terminal, or it is empty.
    """
    return _passphrase(confirm=True)


def known_passphrase() -> bytes:
    """For a key that is there.

    Raises:
      BadInputError: there is neither the variable nor a terminal, or it is empty.
    """
    return _passphrase(confirm=False)


def _passphrase(*, confirm: bool) -> bytes:
    text = os.environ.get(VARIABLE)
    if text is None and sys.stdin.isatty():
        text = click.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm, err=True)
    if not text:
        raise errors.BadInputError(
            f"the private key needs a passphrase: set {VARIABLE}, or run this at a terminal"
        )
    return text.encode()
