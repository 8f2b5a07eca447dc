"""``edgepack shrink``: anyone's .tflite without its dead channels, with the same answers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click


@click.command("shrink")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--exact", "exactly", is_flag=True, help="Remove only what changes no bit of an answer.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The .tflite to write.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON (edgepack.shrink/1).")
def command(file: Path, exactly: bool, out: Path, as_json: bool) -> int:
    """Cut dead channels out of FILE (.tflite, int8 or float32): those that are a constant whatever the input, and
    those that nothing reads. Their constants move into the biases behind them.

    Both files are run on the same inputs; where one bit of an answer differs, or nothing can go, OUT is FILE. To remove
    channels that matter little, use the stage "shrink" of a recipe.
    """
    from edgepack import exact
    from edgepack.cli import rewriting

    if not exactly:
        raise click.UsageError(
            "a .tflite is shrunk exactly or not at all: add --exact. Channels that are not dead are removed from the "
            "Keras model, by the stage \"shrink\" of a recipe and 'edgepack build'"
        )
    found = rewriting.rewritten(file, out, exact.shrunk)
    if as_json:
        before, after = found.macs
        more = {
            "macs": {"before": before, "after": after},
            "layers": [asdict(layer) for layer in found.layers],
        }
        click.echo(rewriting.as_json("edgepack.shrink/1", file, out, found, more))
    else:
        rewriting.show(out, found)
        rewriting.show_layers(found)
    return 0
