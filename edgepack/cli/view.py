"""``edgepack view``: a model's graph in Netron or Model Explorer, where one of them is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import click

PROGRAMS: Final[dict[str, tuple[str, str]]] = {
    "netron": ("netron", "pip install netron"),
    "model-explorer": ("model-explorer", "pip install ai-edge-model-explorer"),
}
"""Name → program, how to install it; the first one found is taken."""


@click.command("view")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--with", "program", type=click.Choice(list(PROGRAMS)), help="By default the first that is installed."
)
def command(model: Path, program: str | None) -> int:
    """Open MODEL (.tflite, .edgepack, .keras, .h5) in Netron or Model Explorer; ends when that does.

    Bytes, times and errors as an overlay for Model Explorer: edgepack report RUN --format nodes --out nodes.json
    """
    from edgepack.cli.opening import kind_of, opened

    found = _installed(program)
    if kind_of(model) in ("tflite", "package"):
        with opened(model) as file, tempfile.TemporaryDirectory(prefix="edgepack-view-") as folder:
            shown = Path(folder) / f"{model.stem}.tflite"
            shutil.copyfile(file, shown)
            return _shown(found, shown)
    return _shown(found, model.resolve())


def _installed(wanted: str | None) -> str:
    """The program's path.

    Raises:
      MissingDependencyError: says how to install one.
    """
    from edgepack.errors import MissingDependencyError

    for name in (wanted,) if wanted else PROGRAMS:
        found = shutil.which(PROGRAMS[name][0])
        if found:
            return found
    ways = " or ".join(PROGRAMS[name][1] for name in ((wanted,) if wanted else PROGRAMS))
    missing = f"{wanted} is not installed" if wanted else "neither Netron nor Model Explorer is installed"
    raise MissingDependencyError(f"{missing}; install it with: {ways}")


def _shown(program: str, model: Path) -> int:
    """Runs it until the user ends it; it serves the page that its browser window shows."""
    from edgepack.errors import ChildCrashError

    try:
        code = subprocess.run([program, str(model)], check=False, cwd="/").returncode
    except KeyboardInterrupt:
        return 0
    if code:
        raise ChildCrashError(
            f"{program} ended with exit code {code}; start it by hand to see why: {program} {model}"
        )
    return 0
