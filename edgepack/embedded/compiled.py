"""What a device stores instead of the plain .tflite, and what that costs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgepack.device import Device
from edgepack.records import Json

Flash = Literal["auto", "lut", "plain"]
Codec = Literal["plain", "lut", "vela"]


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A model in the form that a device stores.

    Attributes:
      codec: "plain" (the .tflite as it is), "lut" (kernels by tables), "vela" (commands for an Ethos-U).
      data: the file; None where it is the .tflite itself.
      flash_bytes: of the file.
      ram_bytes: that its tensors and its interpreter take while it runs; None where nobody can tell.
      ram_by: who said so.
      cycles: of one inference, estimated by Vela; None elsewhere.
      operators: what registers its operators in a MicroMutableOpResolver; () where not all have a kernel.
      cpu_operators: name → number of those that an NPU leaves to its processor.
      complaints: why the device cannot run it; none may ship.
      notes: what else is worth knowing, one sentence each.
      details: everything measured, for the manifest.
    """

    codec: Codec
    data: bytes | None = field(repr=False)
    flash_bytes: int
    ram_bytes: int | None
    ram_by: str
    cycles: int | None = None
    operators: tuple[str, ...] = ()
    cpu_operators: Mapping[str, int] = field(default_factory=dict)
    complaints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    details: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """Everything but the bytes."""
        told: dict[str, Any] = {
            "codec": self.codec,
            "flash_bytes": self.flash_bytes,
            "ram_bytes": self.ram_bytes,
            "ram_by": self.ram_by,
            "cycles": self.cycles,
            "operators": list(self.operators),
            "cpu_operators": dict(self.cpu_operators),
            "complaints": list(self.complaints),
            "notes": list(self.notes),
            "details": dict(self.details),
        }
        return told


def compile_model(model: Path, device: Device | None, *, flash: Flash = "auto", seed: int = 0) -> Compiled:
    """The form that the device stores, with its costs; what the device cannot run has `complaints`.

    Args:
      model: an integer .tflite.
      device: where it will run; None for none in particular.
      flash: "lut" asks for tables, "plain" for none, "auto" for tables where the device's profile has their decoder.
      seed: of the inputs that both forms are compared on.

    Raises:
      ModelError: Vela or tflite-micro refuses the model.
      MissingDependencyError: what compiles, or what checks tables, is not installed.
      ChildCrashError, StorageError.
    """
    if device is not None and device.accelerator is not None:
        from edgepack.embedded.vela import by_vela

        return by_vela(model, device)
    from edgepack.embedded.tables import as_it_is, by_tables

    micro = device is None or device.runtime == "tflite-micro"
    has_decoder = device is not None and "lut" in device.decoders
    if flash == "lut" and not micro:
        note = 'flash = "lut": LiteRT has no decoder for tables, only tflite-micro; the plain file is kept'
        return as_it_is(model, device, note=note)
    if flash == "lut" or (flash == "auto" and micro and has_decoder):
        return by_tables(model, device, asked=flash == "lut", seed=seed)
    return as_it_is(model, device)
