"""``edgepack completion``: the script that lets a shell complete edgepack's commands, options, recipes and devices."""

from __future__ import annotations

import click

PLACES = {
    "bash": 'eval "$(edgepack completion bash)"      # in ~/.bashrc',
    "zsh": 'eval "$(edgepack completion zsh)"       # in ~/.zshrc, after compinit',
    "fish": "edgepack completion fish > ~/.config/fish/completions/edgepack.fish",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(PLACES)))
def command(shell: str) -> int:
    """Print the completion script of SHELL; put it where the comment in its first line says."""
    from click.shell_completion import get_completion_class

    from edgepack.cli import COMPLETE, group

    made = get_completion_class(shell)
    assert made is not None
    click.echo(f"# {PLACES[shell]}")
    # Not `source()` of the class itself: bash's first asks the installed bash for its version.
    completer = made(group, {}, "edgepack", COMPLETE)
    click.echo(completer.source_template % completer.source_vars())
    return 0
