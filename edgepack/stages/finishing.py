"""The last steps on a .tflite, after the converter: each proved on the interpreter, or undone with the reason."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgepack.durable import write_atomically
from edgepack.records import LedgerEntry

if TYPE_CHECKING:
    from edgepack.data import Dataset


def slimmed(path: Path, calibration: Dataset | None) -> LedgerEntry:
    """Slims the file in its place; what became of it."""
    from edgepack import exact

    found = exact.slimmed(path.read_bytes(), rows=calibration)
    write_atomically(path, found.data)
    return LedgerEntry(
        stage="slim",
        layer="",
        action="acted" if found.changed else "left alone",
        reason=found.reason,
        found={"file_bytes_before": sum(found.before.values()), "file_bytes_after": len(found.data)},
    )


def packed(path: Path, calibration: Dataset | None) -> list[LedgerEntry]:
    """Stores fully connected kernels of at most 15 levels in four bits, in place; what became of each.

    Kept only where the interpreter answers bit for bit as with the same codes in int8.
    """
    from edgepack.exact.proof import complaint
    from edgepack.tflite import int4
    from edgepack.tflite.noise import keras_layer

    before = path.read_bytes()
    found = int4.pack(before)
    notes = [_note(keras_layer(name, ()), "left alone", f"int4: {reason}") for name, reason in found.left]
    if not found.layers:
        return [*notes, _note("", "left alone", "int4: there is no fully connected kernel to pack")]
    reason = complaint(found.regridded, found.data, data=calibration)
    if reason:
        return [*notes, _note("", "left alone", f"int4: {reason}")]
    write_atomically(path, found.data)
    saved = LedgerEntry(
        stage="quantize",
        layer="",
        action="acted",
        reason=f"int4 kernels in {', '.join(keras_layer(name, ()) for name in found.layers)}",
        found={"file_bytes_before": len(before), "file_bytes_after": len(found.data)},
    )
    return [*notes, saved]


def _note(layer: str, action: str, reason: str) -> LedgerEntry:
    return LedgerEntry(stage="quantize", layer=layer, action=action, reason=reason)
