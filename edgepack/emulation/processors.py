"""Which processors can be emulated: what qemu calls them and what /proc/cpuinfo says on the board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgepack import errors, tables

ARMV8_0: Final = "fp asimd evtstrm crc32 cpuid"
ARMV8_2: Final = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
)


@dataclass(frozen=True, kw_only=True)
class Processor:
    """One board's processor.

    Attributes:
      model: for qemu's ``-cpu``. Always given: with its default, qemu 7.2 takes XNNPACK into SME kernels that it
        computes wrongly.
      part, variant, revision: of the main ID register, as the board's kernel prints them.
      features: of one core.
      cores: how many.
    """

    model: str
    part: int
    variant: int
    revision: int
    features: str
    cores: int = 4

    def cpuinfo(self) -> str:
        """/proc/cpuinfo of the board. LiteRT 2.2 and later crashes under qemu when it reads the host's instead."""
        core = (
            "processor\t: {number}\n"
            "BogoMIPS\t: 108.00\n"
            f"Features\t: {self.features}\n"
            "CPU implementer\t: 0x41\n"
            "CPU architecture: 8\n"
            f"CPU variant\t: {self.variant:#x}\n"
            f"CPU part\t: {self.part:#x}\n"
            f"CPU revision\t: {self.revision}\n\n"
        )
        return "".join(core.format(number=number) for number in range(self.cores))


_CORTEX_A53: Final = Processor(model="cortex-a53", part=0xD03, variant=0, revision=4, features=ARMV8_0)
PROCESSORS: Final = {
    "rpi-zero-2w": _CORTEX_A53,
    "rpi3": _CORTEX_A53,
    "rpi4": Processor(model="cortex-a72", part=0xD08, variant=0, revision=3, features=ARMV8_0),
    "rpi5": Processor(model="cortex-a76", part=0xD0B, variant=4, revision=1, features=ARMV8_2),
}
"""Device name → processor: the boards that run a 64-bit system and LiteRT's own wheel."""


def processor(device: str) -> Processor:
    """The processor of a device.

    Raises:
      DeviceError: it cannot be emulated; says which can.
    """
    if device not in PROCESSORS:
        raise errors.DeviceError(
            f'device "{device}" cannot be emulated; {", ".join(PROCESSORS)} can{tables.nearest(device, tuple(PROCESSORS))}'
        )
    return PROCESSORS[device]
