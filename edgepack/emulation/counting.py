"""What an inference costs in instructions: the only cost that an emulator can tell."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgepack import errors
from edgepack.emulation.commands import last_words
from edgepack.emulation.machine import Machine
from edgepack.emulation.setup import PLUGIN

FEW, MANY = 10, 210
"""Invokes of the two runs whose difference counts: loading and preparing are the same in both."""
LARGE, ENOUGH = 4_000_000_000, 30
"""Where the first run took more instructions than this, fewer invokes tell as much in the second one."""
REPEATS: Final = 2
MAX_SPREAD: Final = 0.02
"""Between the repeats, as a fraction of the least."""
TIMEOUT_S: Final = 600.0

Program = Callable[[int], Sequence[str]]
"""Invokes → arguments for the board's Python: a program that invokes a model so many times and ends."""


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


def count(
    machine: Machine, program: Program, *, repeats: int = REPEATS, timeout_s: float = TIMEOUT_S
) -> Instructions:
    """Instructions per inference, `repeats` times by the difference of two runs.

    Raises:
      ChildCrashError: the program failed, or ran past `timeout_s`.
    """
    many, found = MANY, []
    for _ in range(repeats):
        first = instructions(machine, program(FEW), timeout_s=timeout_s)
        many = ENOUGH if first > LARGE else MANY
        second = instructions(machine, program(many), timeout_s=timeout_s)
        found.append((second - first) / (many - FEW))
    return Instructions.of(found, many=many)


def instructions(machine: Machine, arguments: Sequence[str], *, timeout_s: float = TIMEOUT_S) -> int:
    """Instructions of all threads of one run of the board's Python.

    Args:
      machine: the board.
      arguments: of Python.
      timeout_s: wall time after which it is ended.

    Raises:
      ChildCrashError: it failed, or ran past `timeout_s`.
    """
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        log = Path(folder) / "plugin.log"
        options = ["-plugin", str(machine.folder / PLUGIN), "-d", "plugin", "-D", str(log)]
        options += ["-E", "PYTHONHASHSEED=0"]
        command = [*machine.python(options=options), *arguments]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout_s,
                cwd=folder,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise errors.ChildCrashError(
                f"emulated {machine.device}: counting instructions did not finish within {timeout_s:g} s and was ended"
            ) from None
        found = re.findall(r"^instructions: (\d+)$", log.read_text(), re.M) if log.is_file() else []
        if done.returncode != 0 or not found:
            raise errors.ChildCrashError(
                f"emulated {machine.device}: counting instructions ended with code {done.returncode}"
                + last_words(done.stderr)
            )
    return int(found[-1])
