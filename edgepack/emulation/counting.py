"""What an inference costs in instructions: the only cost that an emulator can tell."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgepack import errors
from edgepack.emulation.machine import Machine
from edgepack.emulation.setup import PLUGIN

FEW, MANY = 10, 210
"""Invokes of the two runs whose difference counts: loading and preparing are the same in both."""
LARGE, ENOUGH = 4_000_000_000, 30
"""Where the first run took more instructions than this, fewer invokes tell as much in the second one."""
REPEATS: Final = 2
MAX_SPREAD: Final = 0.02
"""Between the repeats, as a fraction of the least."""

Run = Callable[[Sequence[str], int], object]
"""(command prefix of the board's Python, invokes): runs a program there that invokes a model so many times and ends."""


@dataclass(frozen=True, kw_only=True)
class Instructions:
    """Instructions that one inference takes on the emulated board. They are no measure of time.

    Attributes:
      per_inference: the mean of all repeats.
      repeats: what each of them found.
      spread: of the repeats: greatest over least, less one.
      few, many: invokes of the two runs whose difference was divided.
    """

    per_inference: float
    repeats: tuple[float, ...]
    spread: float
    few: int = FEW
    many: int = MANY

    @classmethod
    def of(cls, repeats: Sequence[float], *, many: int = MANY) -> Instructions:
        """Summary of repeats.

        Example:
          >>> Instructions.of([100.0, 101.0]).spread
          0.01
        """
        spread = round(max(repeats) / min(repeats) - 1.0, 9)
        return cls(
            per_inference=sum(repeats) / len(repeats), repeats=tuple(repeats), spread=spread, many=many
        )

    @property
    def stable(self) -> bool:
        return self.spread <= MAX_SPREAD


def count(machine: Machine, run: Run, *, repeats: int = REPEATS) -> Instructions:
    """Instructions per inference, `repeats` times by the difference of two runs.

    Raises:
      ChildCrashError: nothing was counted; or whatever `run` raises.
    """
    many, found = MANY, []
    for _ in range(repeats):
        first = instructions(machine, lambda python: run(python, FEW))
        many = ENOUGH if first > LARGE else MANY
        second = instructions(machine, lambda python, invokes=many: run(python, invokes))  # type: ignore[misc]
        found.append((second - first) / (many - FEW))
    return Instructions.of(found, many=many)


def instructions(machine: Machine, run: Callable[[Sequence[str]], object]) -> int:
    """Instructions of all threads of one program.

    Args:
      machine: the board.
      run: runs the program by the command prefix that it is given, and waits for its end.

    Raises:
      ChildCrashError: the program ended without a count; or whatever `run` raises.
    """
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        log = Path(folder) / "plugin.log"
        options = ["-plugin", str(machine.folder / PLUGIN), "-d", "plugin", "-D", str(log)]
        # Threads that wait for work spin, the longer the busier this machine is.
        options += ["-E", "PYTHONHASHSEED=0", "-E", "OPENBLAS_NUM_THREADS=1", "-E", "OMP_NUM_THREADS=1"]
        run(machine.python(options=options))
        found = re.findall(r"^instructions: (\d+)$", log.read_text(), re.M) if log.is_file() else []
    if not found:
        raise errors.ChildCrashError(
            f"emulated {machine.device}: the program ended without a count of instructions"
        )
    return int(found[-1])
