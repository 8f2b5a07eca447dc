"""What several commands take: arguments that shells complete, and what a user allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem


class RecipeFile(click.Path):
    """A recipe's path, or the name of one that comes with edgepack."""

    name = "recipe"

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from edgepack.recipe.shipped import names

        return _those(names(), incomplete) + _files(incomplete, (".toml",))


class DeviceName(click.types.StringParamType):
    """The name of a device profile."""

    name = "name"

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from edgepack.device.shipped import names

        return _those(names(), incomplete)


class ModelFile(click.Path):
    """A path of which only some kinds are offered."""

    def __init__(self, *suffixes: str) -> None:
        super().__init__(path_type=Path)
        self.suffixes = suffixes

    def shell_complete(
        self, context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return _files(incomplete, self.suffixes)


RECIPE = RecipeFile()
DEVICE = DeviceName()

trust_code = click.option(
    "--trust-code", is_flag=True, help="Allow the recipe to import its own Python (layers, data, metric)."
)
trust_input = click.option(
    "--trust-input", is_flag=True, help="Allow a SavedModel, which runs code by nature."
)
memory = click.option(
    "--memory",
    "memory_gb",
    type=click.FloatRange(min=0, min_open=True),
    metavar="GB",
    help="Memory limit of the TensorFlow process, of each one where there are several.",
)
quiet = click.option("--quiet", is_flag=True, help="No progress on stderr.")


def _those(names: Sequence[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _files(incomplete: str, suffixes: Sequence[str]) -> list[CompletionItem]:
    """Files of some kinds, and folders on the way to them; the shell's own completion where there are none."""
    folder, _, start = incomplete.rpartition("/")
    here = Path(f"{folder}/" if folder or incomplete.startswith("/") else ".").expanduser()
    lead = f"{folder}/" if "/" in incomplete else ""
    try:
        entries = sorted(entry for entry in here.iterdir() if entry.name.startswith(start))
    except OSError:
        return []
    shown = [entry for entry in entries if start.startswith(".") or not entry.name.startswith(".")]
    files = [CompletionItem(lead + entry.name) for entry in shown if entry.suffix.lower() in suffixes]
    folders = [entry for entry in shown if entry.is_dir() and entry.suffix.lower() not in suffixes]
    if folders and not files:
        return [CompletionItem(incomplete, type="file")]
    return files
