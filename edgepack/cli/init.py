"""``edgepack init``: a starting recipe for a model."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from edgepack.cli import parameters
from edgepack.cli.visible import say


@click.command("init")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Samples: a .npz, .npy, IDX file or folder; repeatable. Without it, what lies beside the model.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="The recipe.  [default: MODEL.toml here]"
)
@click.option("--force", is_flag=True, help="Write over a recipe that is there.")
@click.option("--no-run", is_flag=True, help="Never run the float model to tell how its inputs were scaled.")
@parameters.trust_input
@click.option("--json", "as_json", is_flag=True, help="Print the guesses as JSON (edgepack.init/1).")
def command(
    model: Path,
    data: tuple[Path, ...],
    out: Path | None,
    force: bool,
    no_run: bool,
    trust_input: bool,
    as_json: bool,
) -> int:
    """Write a commented starting recipe for MODEL (.keras, .h5): task, splits, preprocessing and stages are guessed."""
    from edgepack import starting
    from edgepack.cli.screen import Screen
    from edgepack.durable import write_atomically
    from edgepack.errors import RecipeError
    from edgepack.recipe import Recipe
    from edgepack.tables import parse, validate

    target = out if out is not None else Path(f"{model.stem}.toml")
    if target.exists() and not force:
        raise RecipeError(
            f"{target}: is there already; give --force to write over it, or another name with --out"
        )
    if not target.parent.is_dir():
        raise RecipeError(
            f"{target}: the folder {target.parent} does not exist; make it, or give another --out"
        )
    with Screen(quiet=as_json) as screen:
        screen.begin("look at model and data")
        began = time.monotonic()
        found = starting.start(
            model, data, run_model=not no_run, trust_input=trust_input, progress=screen.progress
        )
        screen.end("look at model and data", cached=False, seconds=time.monotonic() - began)
    text = starting.text(found, target)
    validate(Recipe, parse(text, target), source=target)
    write_atomically(target, text.encode())
    if as_json:
        say(json.dumps(starting.as_json(found, target), indent=1))
    else:
        for line in starting.summary(found):
            say(f"  {line}")
        verb = "check and build it" if found.parts else "put your data's path into it, then build it"
        flag = " --trust-input" if found.model.is_saved_model else ""
        say(f"→ {target}\nnext: {verb}: edgepack build {target}{flag}")
    return 0
