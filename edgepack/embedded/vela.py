"""Arm's Vela: the model as commands and coded weights for an Ethos-U, with what it estimates of cycles and memory.

Nothing here runs the result: that takes the NPU, or Arm's model of it.
"""

from __future__ import annotations

import csv
import importlib.metadata
import math
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgepack import errors, tflite
from edgepack.child import child_environment
from edgepack.device import Device
from edgepack.embedded.compiled import Compiled
from edgepack.embedded.operators import ETHOS_U, resolver_methods, unsupported
from edgepack.embedded.tables import too_much_ram

DISTRIBUTION: Final = "ethos-u-vela"
INSTALL: Final = 'pip install "edgepack[npu]"'
TIMEOUT_S: Final = 600
MEMORY_BYTES: Final = 4 << 30
KIB: Final = 1024
FIGURES: Final = (
    "system_config", "memory_mode", "core_clock", "inferences_per_second", "inference_time", "sram_memory_used",
    "dram_memory_used", "on_chip_flash_memory_used", "off_chip_flash_memory_used", "total_original_weights",
    "total_npu_encoded_weights", "nn_macs", "cycles_npu", "cycles_sram_access", "cycles_dram_access",
    "cycles_on_chip_flash_access", "cycles_off_chip_flash_access", "cycles_total",
)  # fmt: skip
"""Columns of Vela's summary that are kept; memories are in KiB there, times in seconds."""


def version() -> str:
    """Of the installed Vela.

    Raises:
      MissingDependencyError: it is not installed; says how to get it.
    """
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        raise errors.MissingDependencyError(
            f"Vela, which compiles for Ethos-U NPUs, is not installed in {sys.prefix}; install it with: {INSTALL}"
        ) from None


def by_vela(path: Path, device: Device, *, timeout_s: int = TIMEOUT_S) -> Compiled:
    """Compiles an integer .tflite for the accelerator of a device.

    Raises:
      ModelError: the file is damaged or compiled already, or Vela refuses it; says in its words why.
      MissingDependencyError: Vela is not installed.
      ChildCrashError: Vela died, or took longer than `timeout_s`.
    """
    assert device.accelerator is not None
    installed = version()
    if any(op.name == ETHOS_U for graph in tflite.read(path).subgraphs for op in graph.ops):
        raise errors.ModelError(
            f"{path}: is compiled for an Ethos-U already; expected the .tflite that Vela made it from"
        )
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        source = Path(folder, "model.tflite")
        source.write_bytes(path.read_bytes())
        said = _run(
            [str(source), "--output-dir", folder, "--accelerator-config", device.accelerator], timeout_s
        )
        made = Path(folder, "model_vela.tflite")
        if not made.is_file():
            raise errors.ModelError(f"{path}: Vela {installed} cannot compile it: {_last_line(said)}")
        data = made.read_bytes()
        model = tflite.read(made)
        figures = _figures(Path(folder))
    left = Counter(op.name for graph in model.subgraphs for op in graph.ops if op.name != ETHOS_U)
    memory = _bytes(figures, "sram_memory_used")
    complaints = [
        f"operators: Vela leaves {name} to the processor, and tflite-micro has no kernel for it"
        for name in unsupported(model)
    ]
    return Compiled(
        codec="vela",
        data=data,
        flash_bytes=len(data),
        ram_bytes=memory,
        ram_by=f"estimated by Vela {installed}: SRAM in its memory mode {figures['memory_mode']}",
        cycles=int(figures["cycles_total"]),
        operators=() if complaints else resolver_methods(model),
        cpu_operators=dict(sorted(left.items())),
        complaints=(*complaints, *too_much_ram(memory, device)),
        notes=tuple(_notes(figures, left, device)),
        details={"vela": installed, "accelerator": device.accelerator, **figures},
    )


def _run(words: list[str], timeout_s: int) -> str:
    """What Vela says; its exit codes are 0 for some failures too."""
    module = [sys.executable, "-m", "edgepack.embedded.vela_here", str(MEMORY_BYTES), str(timeout_s)]
    try:
        answer = subprocess.run(
            [*module, *words],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
            cwd="/",
            env=child_environment(),
        )
    except subprocess.TimeoutExpired:
        raise errors.ChildCrashError(
            f"Vela did not come to an end within {timeout_s} s and was ended"
        ) from None
    if answer.returncode < 0:
        raise errors.ChildCrashError(
            f"Vela was ended by signal {-answer.returncode} (its limits are {timeout_s} s of processor time and "
            f"{MEMORY_BYTES >> 30} GiB): {_last_line(answer.stderr)}"
        )
    if answer.returncode == 69:
        raise errors.MissingDependencyError(
            f"Vela is installed but cannot be imported: {_last_line(answer.stderr)}; install it again with: {INSTALL}"
        )
    return f"{answer.stdout}\n{answer.stderr}"


def _figures(folder: Path) -> dict[str, Any]:
    """The last row of Vela's summary; numbers as numbers."""
    (summary,) = folder.glob("model_summary_*.csv")
    with summary.open(encoding="utf-8", newline="") as file:
        row = list(csv.DictReader(file))[-1]
    return {name: _number(row[name]) for name in FIGURES if name in row}


def _number(text: str) -> float | int | str:
    try:
        value = float(text)
    except ValueError:
        return text
    if not math.isfinite(value):  # rates of a model without work
        return 0
    return int(value) if value.is_integer() else value


def _bytes(figures: Mapping[str, Any], name: str) -> int:
    return round(float(figures[name]) * KIB)


def _notes(figures: Mapping[str, Any], left: Mapping[str, int], device: Device) -> list[str]:
    where = {
        "SRAM": "sram_memory_used", "DRAM": "dram_memory_used", "on-chip flash": "on_chip_flash_memory_used",
        "off-chip flash": "off_chip_flash_memory_used",
    }  # fmt: skip
    used = ", ".join(f"{name} {_bytes(figures, key):,} B" for name, key in where.items() if figures[key])
    clock = float(figures["core_clock"]) / 1e6
    notes = [
        f"Vela estimates {int(figures['cycles_total']):,} cycles for one inference at {clock:g} MHz "
        f"({figures['system_config']}, {figures['memory_mode']}); {used}; {int(figures['total_original_weights']):,} B "
        f"of weights are coded in {int(figures['total_npu_encoded_weights']):,}",
        "not run here: answers of the NPU were not compared",
    ]
    if left:
        listed = ", ".join(f"{name} ×{count}" for name, count in sorted(left.items()))
        notes.append(f"left to the processor beside {device.accelerator}: {listed}")
    return notes


def _last_line(text: str) -> str:
    lines = [
        line.strip() for line in text.splitlines() if line.strip() and not line.startswith("Warning: No ")
    ]
    return lines[-1] if lines else "it says nothing"
