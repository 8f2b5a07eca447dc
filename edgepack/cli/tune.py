"""``edgepack tune``: searches what a recipe leaves open, and freezes what it chose."""

from __future__ import annotations

import gc
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgepack.cli import parameters

if TYPE_CHECKING:
    from edgepack.tune.result import TuneResult

UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_s(context: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
    """ "30m", "2h", "90s" or seconds.

    Raises:
      BadParameter: something else.
    """
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", value.strip())
    if found is None or float(found[1]) <= 0:
        raise click.BadParameter(f"expected a time such as 90s, 30m or 2h; got {value!r}")
    return float(found[1]) * UNITS_S[found[2] or "s"]


@click.command("tune")
@click.argument("recipe", type=parameters.RECIPE)
@click.option(
    "--device",
    type=parameters.DEVICE,
    metavar="NAME",
    help="Search for this device: its limits, its latency table.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("tuned"),
    show_default=True,
    help="Folder of the study, tune.json, the frozen recipe and its package. A search that it holds is gone on with.",
)
@click.option(
    "--trials", type=click.IntRange(min=1), metavar="N", help="Points to evaluate [default: [tune] trials]."
)
@click.option(
    "--time", "time_s", callback=duration_s, metavar="30m", help="Start no more trials after so long."
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Trials at once here.",
)
@click.option("--scheduler", metavar="ADDRESS", help='Dask cluster: tcp://host:8786, or "local".')
@click.option(
    "--storage", metavar="URL", help="Database of the study, for a team; by default a file in --out."
)
@click.option(
    "--store-read",
    envvar="EDGEPACK_STORE_READ",
    metavar="URL",
    help="Store to look into where an entry is missing (any fsspec URL).",
)
@click.option("--json", "as_json", is_flag=True, help="Print tune.json.")
@parameters.quiet
@parameters.trust_code
@parameters.trust_input
@parameters.memory
def command(
    recipe: Path,
    device: str | None,
    out: Path,
    trials: int | None,
    time_s: float | None,
    jobs: int,
    scheduler: str | None,
    storage: str | None,
    store_read: str | None,
    as_json: bool,
    quiet: bool,
    trust_code: bool,
    trust_input: bool,
    memory_gb: float | None,
) -> int:
    """Search what RECIPE leaves open: ranges and lists in its stages and in [quantize]. Writes the Pareto front and a recipe
    that builds the chosen point."""
    from edgepack.cli.screen import Screen
    from edgepack.errors import MissingDependencyError
    from edgepack.recipe.opened import load_open

    gc.enable()
    if store_read is not None:
        os.environ["EDGEPACK_STORE_READ"] = store_read
    opened = load_open(recipe)
    try:
        from edgepack.tune.search import Options, tune
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f'{error.name} is not installed; tuning needs it: pip install "edgepack[tune]"'
        ) from None
    options = Options(
        device=device,
        out=out.resolve(),
        trials=trials,
        time_s=time_s,
        jobs=jobs,
        scheduler=scheduler,
        storage=storage,
        store_read=store_read,
        trust_code=trust_code,
        trust_input=trust_input,
        memory_bytes=int(memory_gb * 1e9) if memory_gb else None,
    )
    with Screen(quiet=quiet) as screen:
        result = tune(opened, options, screen)
    if as_json:
        click.echo(json.dumps(result.to_json(), indent=1))
    else:
        _print(result)
    return 0 if result.passed else 10


def _print(result: TuneResult) -> None:
    from rich.table import Table

    from edgepack.cli.screen import results
    from edgepack.tune.result import table

    console, told = results(), result.to_json()
    failed = sum(each.outcome.error is not None for each in result.trials)
    shown = Table(title=f"Pareto front of {len(result.trials)} trials ({failed} failed)", box=None)
    rows = table(result)
    for head in rows[0] if rows else ():
        shown.add_column(head, justify="right" if head else "left", no_wrap=True)
    for row in rows:
        shown.add_row(*row.values())
    if rows:
        console.print(shown)
    for reason in told["reasons"]:
        console.print(f"  {reason}", markup=False, soft_wrap=True)
    if result.frozen is not None:
        console.print(f"recipe  → {result.frozen}", markup=False, soft_wrap=True)
    if told["package"]:
        console.print(f"package → {told['package']}", markup=False, soft_wrap=True)
    console.print(
        f"{told['status']} in {result.seconds:.1f} s; edgepack build {result.frozen} makes the same package again"
        if result.frozen
        else told["status"],
        markup=False,
        soft_wrap=True,
    )
