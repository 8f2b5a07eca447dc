"""What the machine is and what it is doing: processor, clock, heat, throttling, and who else works on it.

Everything is read from files of Linux; what a system doesn't tell is None. Sent to devices.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

CPU_FOLDER: Final = Path("/sys/devices/system/cpu")
THERMAL_FOLDER: Final = Path("/sys/class/thermal")
FIRMWARE_THROTTLED: Final = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")
"""Raspberry Pi: the number that ``vcgencmd get_throttled`` prints, without its program."""
THROTTLED_NOW: Final = ((0, "under-voltage"), (1, "the clock is capped"), (2, "throttled"), (3, "too hot"))
"""Bits of that number (Raspberry Pi documentation, vcgencmd: get_throttled)."""
VCGENCMD_TIMEOUT_S: Final = 5.0


def described() -> dict[str, Any]:
    """What doesn't change: ``machine``, ``cpu``, ``cores`` that this process may use."""
    return {"machine": platform.machine(), "cpu": _cpu_name(), "cores": len(_usable_cores())}


def state() -> dict[str, Any]:
    """What changes: ``frequency_mhz``, ``governor``, ``temperature_c``, ``throttled`` (reasons), ``load``."""
    first = CPU_FOLDER / f"cpu{min(_usable_cores())}" / "cpufreq"
    frequency = _number(first / "scaling_cur_freq")
    told = _cpuinfo("cpu MHz")
    return {
        "frequency_mhz": frequency / 1e3 if frequency is not None else float(told) if told else None,
        "governor": _line(first / "scaling_governor"),
        "temperature_c": _temperature_c(),
        "throttled": _throttled(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


class Strain:
    """What disturbed this process between its making and `told`."""

    def __init__(self) -> None:
        self._cores = _usable_cores()
        self._before = self._counted()

    def told(self) -> dict[str, Any]:
        """How much others used the cores in that time.

        Returns:
          ``others_cores``: cores that other processes kept busy; ``stolen``: fraction of the cores' time that the
          hypervisor gave to other machines; ``waited``: fraction of the time that this process's threads were ready and
          had no core; ``throttle_events``: how often the processor slowed down to keep cool.
        """
        after = self._counted()
        passed = {name: _less(after[name], self._before[name]) for name in after}
        elapsed_s, busy_s, own_s = passed["elapsed_s"], passed["busy_s"], passed["own_s"]
        others = None if busy_s is None or own_s is None else max(0.0, busy_s - own_s)
        return {
            "others_cores": _ratio(others, elapsed_s),
            "stolen": _ratio(passed["stolen_s"], None if elapsed_s is None else elapsed_s * len(self._cores)),
            "waited": _ratio(passed["waited_s"], elapsed_s),
            "throttle_events": passed["throttle_events"],
        }

    def _counted(self) -> dict[str, float | None]:
        times = os.times()
        return {
            "elapsed_s": times.elapsed,
            "own_s": times.user + times.system,
            **_of_cores(self._cores),
            **_own(),
        }


def _of_cores(cores: set[int]) -> dict[str, float | None]:
    """Seconds that these cores were busy and stolen since boot (proc(5), /proc/stat), and throttle events."""
    tick_s = 1.0 / os.sysconf("SC_CLK_TCK")
    busy = stolen = 0.0
    seen = False
    for line in (_text(Path("/proc/stat")) or "").splitlines():
        name, *counts = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in cores and len(counts) >= 8:
            user, nice, system, _idle, _iowait, hard, soft, steal = (int(count) for count in counts[:8])
            busy += (user + nice + system + hard + soft) * tick_s
            stolen += steal * tick_s
            seen = True
    events = [
        _number(CPU_FOLDER / f"cpu{core}" / "thermal_throttle" / "core_throttle_count")
        for core in sorted(cores)
    ]
    return {
        "busy_s": busy if seen else None,
        "stolen_s": stolen if seen else None,
        "throttle_events": _sum(events),
    }


def _own() -> dict[str, float | None]:
    """Seconds that this process's threads waited for a core (Linux, schedstats: nanoseconds, second number)."""
    waited = [_text(file) for file in Path("/proc/self/task").glob("*/schedstat")]
    return {"waited_s": _sum(int(text.split()[1]) / 1e9 for text in waited if text)}


def _throttled() -> list[str] | None:
    """Why the processor is slower than it could be right now; None where nothing tells."""
    flags = _firmware_flags()
    found = None if flags is None else [reason for bit, reason in THROTTLED_NOW if flags >> bit & 1]
    for device in sorted(THERMAL_FOLDER.glob("cooling_device*")):
        kind, level = _line(device / "type") or "", _number(device / "cur_state")
        if level is not None and kind.lower().startswith(("cpufreq", "thermal-cpufreq", "processor")):
            found = (found or []) + ([f"{kind} cools at level {level:g}"] if level > 0 else [])
    return found


def _firmware_flags() -> int | None:
    text = _line(FIRMWARE_THROTTLED)
    program = shutil.which("vcgencmd") if text is None else None
    try:
        if program is not None:
            command = [program, "get_throttled"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=VCGENCMD_TIMEOUT_S)
            text = done.stdout.strip().partition("=")[2]
        return int(text, 16) if text else None
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def _temperature_c() -> float | None:
    """The hottest of the sensors that are about the processor, or of all where none is."""
    zones = {zone: _line(zone / "type") or "" for zone in THERMAL_FOLDER.glob("thermal_zone*")}
    own = [
        zone for zone, kind in zones.items() if any(word in kind.lower() for word in ("cpu", "pkg", "soc"))
    ]
    found = [_number(zone / "temp") for zone in own or zones]
    known = [milli for milli in found if milli is not None]
    return max(known) / 1e3 if known else None


def _usable_cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _cpu_name() -> str:
    for key in ("model name", "Model", "Hardware", "CPU part"):
        value = _cpuinfo(key)
        if value:
            return value
    return platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str | None:
    for line in (_text(Path("/proc/cpuinfo")) or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _number(path: Path) -> float | None:
    text = _line(path)
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _line(path: Path) -> str | None:
    text = _text(path)
    return text.strip() if text is not None else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except OSError:  # absent, forbidden, or a thread that ended meanwhile
        return None


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _less(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _ratio(part: float | None, whole: float | None) -> float | None:
    return None if part is None or not whole else part / whole
