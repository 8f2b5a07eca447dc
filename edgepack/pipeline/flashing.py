"""What the device stores: the .tflite, its form with tables, or Vela's file; its flash and RAM, and whether it runs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgepack import embedded
from edgepack.device import Device
from edgepack.pipeline.environment import APART, versions
from edgepack.pipeline.result import Weighed
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe
from edgepack.records import Artifact, Json, LedgerEntry

FILE = "device.tflite"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """The form of a model that its device stores.

    Attributes:
      path: the file; None where it is the .tflite itself.
      told: `embedded.Compiled` as JSON; None for a device that stores and runs .tflite files as they are.
    """

    path: Path | None = None
    told: dict[str, Any] | None = None

    @property
    def complaints(self) -> list[str]:
        """Why the device cannot run it."""
        return list(self.told["complaints"]) if self.told else []

    @property
    def notes(self) -> tuple[LedgerEntry, ...]:
        """For the ledger."""
        if self.told is None:
            return ()
        found = {name: self.told[name] for name in ("codec", "flash_bytes", "ram_bytes", "cycles")}
        first = LedgerEntry(stage="flash", layer="", action="acted", reason=self.told["ram_by"], found=found)
        said = (
            LedgerEntry(stage="flash", layer="", action="note", reason=note) for note in self.told["notes"]
        )
        return (first, *said)

    def weighed(self, before: Weighed) -> Weighed:
        """With the bytes of flash that the device really needs."""
        if self.told is None:
            return before
        return replace(before, sizes=replace(before.sizes, flash_bytes=self.told["flash_bytes"]))


def stored(artifact: Artifact, recipe: Recipe, target: Device | None, workspace: Workspace) -> Stored:
    """Compiles for the device, once.

    Raises:
      ModelError: Vela or tflite-micro refuses the model.
      MissingDependencyError: what compiles, or what checks tables, is not installed.
      ChildCrashError.
    """
    flash = recipe.package.flash
    plain = target is None or target.runtime != "tflite-micro"
    if plain and flash != "lut":
        return Stored()

    def make(directory: Path) -> Json:
        made = embedded.compile_model(artifact.path, target, flash=flash, seed=recipe.seed)
        if made.data is not None:
            (directory / FILE).write_bytes(made.data)
        return made.to_json()

    parts: dict[str, Json] = {
        "tflite": artifact.sha256,
        "flash": flash,
        "seed": recipe.seed,
        "device": target.to_json() if target else None,
        "versions": {name: version for name, version in versions().items() if name in APART},
    }
    entry = workspace.produce("flash", parts, make)
    record: dict[str, Any] = entry.record
    return Stored(path=entry.files.get(FILE), told=record)
