"""``build --emulate``: each device's package on the emulated device itself."""

from __future__ import annotations

from collections.abc import Sequence

from edgepack import emulation, errors
from edgepack.benchmark.emulated import Emulated, measure_emulated
from edgepack.device import Device
from edgepack.records import Artifact


def require(devices: Sequence[Device]) -> None:
    """Before time is spent: raises DeviceError where a device cannot be emulated here, or none is named."""
    if not devices:
        raise errors.DeviceError("--emulate needs the device: add --device NAME")
    for each in devices:
        emulation.ready(each.name)


def emulated(artifact: Artifact, target: Device) -> Emulated:
    """The model on its emulated device, on drawn inputs; raises as `measure_emulated` does."""
    return measure_emulated(
        artifact.path,
        target.name,
        runtime="tflite-runtime" if target.runtime == "tflite-runtime" else "litert",
        sha256=artifact.sha256,
    )


def complaints(found: Emulated) -> list[str]:
    """Why the device does not compute the model that was judged here; empty where it does."""
    return [
        f"emulated {found.device}: output {output.name!r}: reference kernels differ by {output.reference_difference:g}, "
        f"default kernels by {output.default_difference:g} where {output.default_tolerance:g} is tolerated"
        for output in found.outputs
        if not output.holds
    ]
