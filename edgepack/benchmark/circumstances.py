"""What a number was measured with and on."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path

from edgepack import errors
from edgepack.records import Json

CPU_FOLDER = Path("/sys/devices/system/cpu/cpu0/cpufreq")


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """Where and how something was timed.

    Attributes:
      runtime, version: the interpreter.
      kernels: "default" or "reference".
      threads: of the interpreter.
      machine: architecture, such as "x86_64".
      cpu: the processor's own name.
      cores: that this process may use.
      governor: the frequency governor, None where the system doesn't tell (containers, virtual machines).
      frequency_mhz: of the first core just before measuring, None likewise.
      load: runnable processes over the last minute, None where unknown.
    """

    runtime: str
    version: str
    kernels: str
    threads: int
    machine: str
    cpu: str
    cores: int
    governor: str | None
    frequency_mhz: float | None
    load: float | None

    def __post_init__(self) -> None:
        named = (self.runtime, self.version, self.kernels, self.machine, self.cpu)
        if not all(named) or self.threads < 1 or self.cores < 1:
            raise errors.EdgepackError(f"a measurement needs its full circumstances; got {self}")

    @classmethod
    def here(cls, *, runtime: str, version: str, kernels: str, threads: int) -> Circumstances:
        """This machine, now."""
        frequency = _line(CPU_FOLDER / "scaling_cur_freq")
        return cls(
            runtime=runtime,
            version=version,
            kernels=kernels,
            threads=threads,
            machine=platform.machine(),
            cpu=_cpu_name(),
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            governor=_line(CPU_FOLDER / "scaling_governor"),
            frequency_mhz=int(frequency) / 1000.0 if frequency and frequency.isdigit() else _cpuinfo_mhz(),
            load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        )

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    def warnings(self) -> list[str]:
        """What in these circumstances makes a timing doubtful."""
        found = []
        if self.load is not None and self.load > self.cores:
            found.append(f"the machine is busy: load {self.load:.1f} on {self.cores} cores")
        if self.threads > self.cores:
            found.append(f"{self.threads} threads on {self.cores} cores")
        if self.governor not in (None, "performance"):
            found.append(
                f"the frequency governor is {self.governor!r}: clock speed may change while measuring"
            )
        return found


def _cpu_name() -> str:
    for key in ("model name", "Model", "Hardware", "CPU part"):
        value = _cpuinfo(key)
        if value:
            return value
    return platform.processor() or platform.machine()


def _cpuinfo_mhz() -> float | None:
    value = _cpuinfo("cpu MHz")
    return float(value) if value else None


def _cpuinfo(key: str) -> str | None:
    for line in (_text(Path("/proc/cpuinfo")) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _line(path: Path) -> str | None:
    text = _text(path)
    return text.strip() if text is not None else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:
        return None
