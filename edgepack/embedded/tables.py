"""The file as it is, or with its kernels by tables, proved to answer alike and weighed against the device's RAM."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgepack import errors, runtime, tflite
from edgepack.device import Device
from edgepack.durable import storage_errors
from edgepack.embedded.compiled import Compiled
from edgepack.embedded.micro import SAMPLES, drawn
from edgepack.embedded.operators import resolver_methods, unsupported
from edgepack.runtime import MicroRun
from edgepack.tflite import lut
from edgepack.tflite.arena import arena

PLANNED = (
    "planned: tensors as tflite-micro lays them out, about what the interpreter keeps, no scratch buffers"
)
RECORDED = "recorded by tflite-micro's allocator, with pointers of 64 bits; boards of 32 bits need less"


def as_it_is(path: Path, device: Device | None, *, note: str = "") -> Compiled:
    """The plain file; for a device with tflite-micro with its operators and its RAM."""
    size = path.stat().st_size
    notes = (note,) if note else ()
    if device is None or device.runtime != "tflite-micro":
        return Compiled(
            codec="plain", data=None, flash_bytes=size, ram_bytes=None, ram_by="not asked", notes=notes
        )
    model = tflite.read(path)
    missing = unsupported(model)
    needed, told = arena(model).total_bytes, PLANNED
    complaints = [f"operators: tflite-micro has no kernel for {name}" for name in missing]
    if runtime.available()["tflite-micro"] is not None and not missing:
        try:
            needed, told = runtime.run_micro(path, []).arena.total_bytes, RECORDED
        except (errors.ModelError, errors.ChildCrashError) as error:
            complaints.append(f"operators: {str(error).removeprefix(f'{path}: ')}")
    return Compiled(
        codec="plain",
        data=None,
        flash_bytes=size,
        ram_bytes=needed,
        ram_by=told,
        operators=() if missing else resolver_methods(model),
        complaints=(*complaints, *too_much_ram(needed, device)),
        notes=notes,
    )


def by_tables(path: Path, device: Device | None, *, asked: bool, seed: int) -> Compiled:
    """Kernels of few values by tables, where that is smaller, answers bit for bit alike and fits the RAM.

    Args:
      asked: whether the recipe wants tables: RAM that the device lacks is then a complaint, else a reason to keep the
        plain file.

    Raises:
      MissingDependencyError: tflite-micro is not installed, so nothing can be proved.
    """
    with storage_errors(path):
        made = lut.encoded(path.read_bytes())
    if not made.tables:
        return as_it_is(path, device, note=f"no tables: {made.reason}")
    model = tflite.read(path)
    vectors = drawn(tflite.interface(model)[0], SAMPLES, seed)
    try:
        before = runtime.run_micro(path, vectors)
    except (errors.ModelError, errors.ChildCrashError):
        return as_it_is(path, device, note="no tables: tflite-micro cannot run the plain file")
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        encoded = Path(folder, "lut.tflite")
        encoded.write_bytes(made.data)
        after = runtime.run_micro(encoded, vectors)
        methods = resolver_methods(tflite.read(encoded))
    if not _alike(before, after):
        return as_it_is(
            path, device, note="no tables: with them the answers would differ, a defect of edgepack"
        )
    more = after.arena.total_bytes - before.arena.total_bytes
    complaints = too_much_ram(after.arena.total_bytes, device)
    found = Compiled(
        codec="lut",
        data=made.data,
        flash_bytes=len(made.data),
        ram_bytes=after.arena.total_bytes,
        ram_by=RECORDED,
        operators=methods,
        complaints=complaints,
        notes=(
            f"{len(made.tables)} kernels are stored by tables: {path.stat().st_size:,} → {len(made.data):,} B of flash, "
            f"{before.arena.total_bytes:,} → {after.arena.total_bytes:,} B of RAM (+{more:,}); every answer to "
            f"{SAMPLES} drawn inputs is bit for bit the same in tflite-micro",
        ),
        details=_details(made, before, after),
    )
    if not complaints or asked:
        return replace(found, complaints=tuple(f"{each} ({_way_out(more)})" for each in complaints))
    return as_it_is(path, device, note=f"no tables: {complaints[0]}")


def _way_out(more_bytes: int) -> str:
    return f'tables cost {more_bytes:,} B of it: [package] flash = "plain" stores the weights as they are'


def _alike(before: MicroRun, after: MicroRun) -> bool:
    return len(before.outputs) == len(after.outputs) and all(
        np.array_equal(one.view(np.uint8), other.view(np.uint8))
        for one, other in zip(before.outputs, after.outputs, strict=True)
    )


def _details(made: lut.Encoded, before: MicroRun, after: MicroRun) -> dict[str, Any]:
    return {
        "tables": [asdict(table) for table in made.tables],
        "arena": asdict(after.arena),
        "plain_arena": asdict(before.arena),
        "tflite_micro": runtime.require("tflite-micro"),
        "samples": SAMPLES,
    }


def too_much_ram(needed: int, device: Device | None) -> tuple[str, ...]:
    """Why the device has not the RAM; () where it has, or where nobody says how much there is."""
    if device is None:
        return ()
    limits = {"budget_ram_bytes": device.budget_ram_bytes, "ram_bytes": device.ram_bytes}
    for name, limit in limits.items():
        if limit is not None and needed > limit:
            return (f"RAM: the model needs {needed:,} B, more than {device.name}'s {name} = {limit:,}",)
    return ()
