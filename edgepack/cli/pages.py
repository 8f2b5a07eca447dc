"""Where a page goes: to a file, to the screen, to the browser."""

from __future__ import annotations

from pathlib import Path

import click


def delivered(text: str, target: Path | None, *, show: bool) -> int:
    """Writes the text to `target` and says so, or prints it where there is none.

    Raises:
      StorageError: it cannot be written.
    """
    from edgepack.durable import write_atomically

    if target is None:
        click.echo(text, nl=not text.endswith("\n"))
        return 0
    write_atomically(target, text.encode())
    click.echo(str(target))
    if show:
        click.launch(target.resolve().as_uri())
    return 0
