"""aarch64 boards emulated here by qemu: their user space, their Python, and what an inference costs in instructions.

Results are the board's, times are not: no milliseconds are ever taken from an emulator.
"""

from edgepack.emulation.counting import Instructions, count
from edgepack.emulation.machine import Machine
from edgepack.emulation.processors import PROCESSORS
from edgepack.emulation.setup import ready, set_up

__all__ = ["PROCESSORS", "Instructions", "Machine", "count", "ready", "set_up"]
