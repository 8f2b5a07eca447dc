"""``edgepack patch``: a delta applied."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("patch")
@click.argument("old", type=FILE)
@click.argument("delta", type=FILE)
@click.option("--out", type=FILE, required=True, help="Where to write the new file.")
def command(old: Path, delta: Path, out: Path) -> int:
    """Apply DELTA to OLD. The result is the promised one, byte for byte, or nothing is written."""
    from edgepack.cli.delta import taken
    from edgepack.delta import apply_delta, parse
    from edgepack.durable import write_atomically

    new = apply_delta(taken(old), parse(taken(delta), str(delta)), str(delta))
    write_atomically(out, new)
    click.echo(f"→ {out}: {len(new):,} bytes")
    return 0
