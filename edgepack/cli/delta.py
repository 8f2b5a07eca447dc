"""``edgepack delta``: an update as the difference between two releases."""

from __future__ import annotations

import json
from pathlib import Path

import click

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("delta")
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
@click.option("--out", type=FILE, help="Where to write it; NEW.delta by default.")
@click.option("--bare", is_flag=True, help="Only what Python's standard library can undo on the device.")
@click.option("--json", "as_json", is_flag=True, help="Print sizes and methods as JSON (edgepack.delta/1).")
def command(old: Path, new: Path, out: Path | None, bare: bool, as_json: bool) -> int:
    """Write what turns OLD into NEW, two packages or any two files, in the fewest bytes."""
    from edgepack.delta import BARE_METHODS, METHODS, make_delta
    from edgepack.durable import write_atomically

    target = out or new.with_name(new.name + ".delta")
    delta = make_delta(taken(old), after := taken(new), methods=BARE_METHODS if bare else tuple(METHODS))
    data = delta.to_bytes()
    write_atomically(target, data)
    if as_json:
        parts = [
            {"name": part.name, "method": part.method, "bytes": len(part.payload), "size": part.size}
            for part in delta.parts
        ]
        report = {"schema": "edgepack.delta/1", "delta": str(target.resolve()), "bytes": len(data)}
        click.echo(
            json.dumps({**report, "new_bytes": len(after), "kind": delta.kind, "parts": parts}, indent=1)
        )
        return 0
    for part in delta.parts:
        name = f"{part.name}: " if part.name else ""
        click.echo(f"  {name}{part.size:,} bytes by {part.method} in {len(part.payload):,}")
    click.echo(f"→ {target}: {len(data):,} bytes, {len(data) / max(1, len(after)):.1%} of {new.name}")
    return 0


def taken(path: Path) -> bytes:
    """A regular file, of a size that deltas may have."""
    from edgepack.bundle.reading import read_regular
    from edgepack.delta.container import SIZE_LIMIT_BYTES

    return read_regular(path, SIZE_LIMIT_BYTES, more="are more than a delta can describe")
