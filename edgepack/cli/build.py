"""``edgepack build``: the main job."""

from __future__ import annotations

import contextlib
import gc
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgepack.cli import parameters

if TYPE_CHECKING:
    from edgepack.pipeline.build import Options


@click.command("build")
@click.argument("recipe", type=parameters.RECIPE)
@click.option(
    "--device",
    "devices",
    multiple=True,
    type=parameters.DEVICE,
    metavar="NAME",
    help="Build for this device profile; repeatable.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("dist"), show_default=True
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON object (edgepack.build/1)."
)
@parameters.quiet
@click.option(
    "--keep-failed", is_flag=True, help="Write the package even when a budget or invariant is missed."
)
@click.option("--no-bench", is_flag=True, help="Do not measure latency on this machine.")
@click.option("--emulate", is_flag=True, help="Run each --device's package on the device emulated here, too.")
@click.option(
    "--no-evidence",
    is_flag=True,
    help="Do not keep answers and evaluation samples for reports (OUT/evaluation.npz).",
)
@parameters.trust_code
@parameters.trust_input
@parameters.memory
@click.option("--mlflow", "track", is_flag=True, help="Log parameters, metrics and files to MLflow.")
@click.option(
    "--check",
    "rebuild",
    is_flag=True,
    help="Rebuild from nothing and compare with what --out holds, byte for byte; changes nothing, 10 where it differs.",
)
def command(
    recipe: Path,
    devices: tuple[str, ...],
    out: Path,
    as_json: bool,
    quiet: bool,
    keep_failed: bool,
    no_bench: bool,
    emulate: bool,
    no_evidence: bool,
    trust_code: bool,
    trust_input: bool,
    memory_gb: float | None,
    track: bool,
    rebuild: bool,
) -> int:
    """Compress, quantize, check, benchmark and pack the model of RECIPE (a .toml, or the name of a shipped one)."""
    from edgepack.cli import translated
    from edgepack.cli.screen import Screen
    from edgepack.cli.summary import print_summary
    from edgepack.errors import EdgepackError
    from edgepack.pipeline.build import Options, build
    from edgepack.pipeline.output import prepare, write_result
    from edgepack.pipeline.result import failure
    from edgepack.recipe import load

    options = Options(
        devices=devices,
        out=out.resolve(),
        keep_failed=keep_failed,
        bench=not no_bench,
        emulate=emulate,
        evidence=not no_evidence,
        trust_code=trust_code,
        trust_input=trust_input,
        memory_bytes=int(memory_gb * 1e9) if memory_gb else None,
    )
    gc.enable()  # a build lives long enough for garbage to matter
    if rebuild:
        return _checked(recipe, options, as_json=as_json, quiet=quiet)
    mlflow = _mlflow() if track else None
    began = time.monotonic()
    answer: dict[str, Any]
    try:
        with Screen(quiet=quiet) as screen:
            loaded = load(recipe)
            result = build(loaded, options, screen)
    except Exception as error:
        answer = failure(translated(error), time.monotonic() - began)
        with contextlib.suppress(EdgepackError):  # the first error is the one to tell
            prepare(options.out)
            write_result(options.out, answer)
        if as_json:
            click.echo(json.dumps(answer, indent=1))
        raise
    answer = result.to_json()
    if as_json:
        click.echo(json.dumps(answer, indent=1))
    else:
        print_summary(result)
    if mlflow is not None:
        from edgepack.report.tracking import log_build

        click.echo(f"MLflow run {log_build(mlflow, result, loaded, options.out)}", err=True)
    return 0 if result.passed else 10


def _mlflow() -> Any:
    """The module, before any time is spent; MissingDependencyError where it is not installed."""
    from edgepack.report.tracking import require_mlflow

    return require_mlflow()


def _checked(recipe: Path, options: Options, *, as_json: bool, quiet: bool) -> int:
    """``--check``: tells what differs; 10 where anything does."""
    from edgepack.cli.screen import Screen
    from edgepack.pipeline.reproducing import reproduced
    from edgepack.recipe import load

    with Screen(quiet=quiet) as screen:
        compared = reproduced(load(recipe), options, screen)
    same = not any(each.differences for each in compared)
    if as_json:
        files = [each.to_json() for each in compared]
        click.echo(
            json.dumps({"schema": "edgepack.reproduce/1", "reproduced": same, "files": files}, indent=1)
        )
    else:
        for each in compared:
            for line in each.differences or ["the same bytes"]:
                click.echo(f"{options.out / each.name}: {line}")
    return 0 if same else 10
