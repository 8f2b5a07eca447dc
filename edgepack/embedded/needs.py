"""What this machine must have before a build for microcontrollers and NPUs spends its time."""

from __future__ import annotations

from collections.abc import Sequence

from edgepack.device import Device
from edgepack.embedded.compiled import Flash
from edgepack.embedded.vela import version
from edgepack.runtime import require


def require_tools(devices: Sequence[Device], flash: Flash) -> None:
    """Asks for Vela where an NPU is built for, and for tflite-micro where tables will have to be proved.

    Raises:
      MissingDependencyError: says what is missing and how to get it.
    """
    if any(device.accelerator is not None for device in devices):
        version()
    boards = [device for device in devices if device.runtime == "tflite-micro" and device.accelerator is None]
    decoding = any("lut" in device.decoders for device in boards)
    if (flash == "lut" and (boards or not devices)) or (flash == "auto" and decoding):
        require("tflite-micro")
