"""``edgepack eval``: the metric of any model file on a recipe's evaluation data."""

from __future__ import annotations

import json
from pathlib import Path

import click

from edgepack.cli import parameters


@click.command("eval")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--recipe", required=True, type=parameters.RECIPE, help="Whose data, preprocessing and metric.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.eval/1).")
@parameters.trust_code
@parameters.trust_input
def command(file: Path, recipe: Path, as_json: bool, trust_code: bool, trust_input: bool) -> int:
    """Measure FILE (.keras, .h5, .tflite or .edgepack) on the recipe's evaluation data."""
    from edgepack.cli.opening import kind_of, opened
    from edgepack.cli.screen import Screen
    from edgepack.pipeline.scoring import score_keras, score_tflite
    from edgepack.pipeline.workspace import Workspace
    from edgepack.recipe import load
    from edgepack.store import Store

    kind, loaded = kind_of(file), load(recipe)
    with (
        Screen(quiet=True) as screen,
        Store() as store,
        Workspace(
            store, screen, trust_code=trust_code, custom=loaded.model.custom, import_paths=(loaded.directory,)
        ) as workspace,
    ):
        if kind in ("keras", "saved_model"):
            score = score_keras(file, loaded, workspace, trust_code=trust_code, trust_input=trust_input)
        else:
            with opened(file) as model:
                score = score_tflite(model, loaded, workspace, trust_code=trust_code)
    if as_json:
        click.echo(json.dumps({"schema": "edgepack.eval/1", "file": str(file), **score.to_json()}, indent=1))
    else:
        click.echo(
            f"{score.metric} {score.value:.4f} on {score.samples:,} samples ({score.runtime}, sha256 {score.sha256})"
        )
    return 0
