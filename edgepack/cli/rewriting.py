"""What ``slim`` and ``shrink`` share: read, rewrite, write, tell."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from rich.table import Table

from edgepack import errors
from edgepack.cli.screen import results
from edgepack.cli.summary import kilobytes
from edgepack.exact import Rewritten, Shrunk

Found = TypeVar("Found", bound=Rewritten)


def rewritten(file: Path, out: Path, rewrite: Callable[[bytes], Found]) -> Found:
    """Writes what becomes of `file` to `out`: the original's bytes where it is kept.

    Raises:
      ModelError: no .tflite, or a damaged one.
      StorageError: it cannot be read or written.
    """
    from edgepack.cli.opening import kind_of
    from edgepack.durable import write_atomically
    from edgepack.tflite.flatbuffer import DamagedError
    from edgepack.tflite.precheck import MAX_BYTES

    if kind_of(file) != "tflite":
        raise errors.ModelError(f"{file}: is no .tflite; a Keras model is compressed by 'edgepack build'")
    if file.stat().st_size >= MAX_BYTES:
        raise errors.ModelError(f"{file}: a .tflite is at most {MAX_BYTES - 1:,} bytes")
    try:
        found = rewrite(file.read_bytes())
    except DamagedError as error:
        raise errors.ModelError(f"{file}: not a sound .tflite: {error}") from None
    write_atomically(out, found.data)
    return found


def as_json(
    schema: str, file: Path, out: Path, found: Rewritten, more: Mapping[str, Any] | None = None
) -> str:
    """The whole answer: bytes before and after by what they serve, whether it changed, and why not."""
    answer = {
        "schema": schema,
        "file": str(file),
        "out": str(out),
        "changed": found.changed,
        "reason": found.reason,
        "notes": list(found.notes),
        "file_bytes": {"before": sum(found.before.values()), "after": len(found.data)},
        "bytes": {"before": dict(found.before), "after": dict(found.after)},
        "sha256": hashlib.sha256(found.data).hexdigest(),
        **(more or {}),
    }
    return json.dumps(answer, indent=1)


def show(out: Path, found: Rewritten) -> None:
    """Prints it for a person."""
    console = results()
    before, after = sum(found.before.values()), len(found.data)
    change = f"{kilobytes(before)} → {kilobytes(after)} ({after / before - 1:+.1%})"
    console.print(f"{out}: {change if found.changed else 'the same bytes'}", style="bold", markup=False)
    if found.changed:
        for kind, count in found.before.items():
            console.print(f"  {kind:<16} {count:>11,} → {found.after[kind]:>11,} B", markup=False)
        console.print("  outputs are the same bits, and as many nodes are delegated", markup=False)
    else:
        console.print(f"  kept as it is: {found.reason}", markup=False)
    for note in found.notes:
        console.print(f"  {note}", markup=False)


def show_layers(found: Shrunk) -> None:
    """Prints the channels of each layer that has dead ones."""
    console = results()
    before, after = found.macs
    if found.changed:
        console.print(f"  multiply-adds    {before:>11,} → {after:>11,}", markup=False)
    touched = [layer for layer in found.layers if layer.constant or layer.removed]
    if not touched:
        return
    table = Table(box=None, pad_edge=False)
    for name in ("  layer", "op", "channels", "constant", "removed", "constant ones that stay"):
        table.add_column(name, justify="right" if name in ("channels", "constant", "removed") else "left")
    for layer in touched:
        stay = "; ".join(f"{count}: {reason}" for reason, count in layer.kept.items())
        counts = (
            f"{number:,}"
            for number in (layer.channels, layer.constant, layer.removed if found.changed else 0)
        )
        table.add_row(f"  {layer.layer}", layer.op, *counts, stay)
    console.print(table)
