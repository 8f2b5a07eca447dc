"""Text from strangers' files on a terminal: what would steer it is written out."""

from __future__ import annotations

import click


def visible(text: str) -> str:
    r"""The text with every character that shows nothing, or steers the terminal, as its escape.

    Example:
      >>> print(visible("dense\x1b[2J ä\u202e"))
      dense\x1b[2J ä\u202e
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def say(text: str, *, err: bool = False) -> None:
    """A line for a person; like `click.echo`, without what files may have hidden in their names."""
    click.echo(visible(text), err=err)
