"""Joules of an inference, from a meter that the user has: a file or a command that tells joules or watts."""

from __future__ import annotations

import math
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal

import numpy as np

from edgepack import errors
from edgepack.records import Json

UNITS: Final[dict[str, tuple[Literal["J", "W"], float]]] = {
    "J": ("J", 1.0), "mJ": ("J", 1e-3), "uJ": ("J", 1e-6), "µJ": ("J", 1e-6), "Wh": ("J", 3600.0), "kWh": ("J", 3.6e6),
    "W": ("W", 1.0), "mW": ("W", 1e-3), "uW": ("W", 1e-6), "µW": ("W", 1e-6),
}  # fmt: skip
FILE_UNITS: Final = ((r"energy.*_uj", "uJ"), (r"energy\d*_input", "uJ"), (r"power\d*_(input|average)", "uW"))
"""Files of Linux that hold a bare number: powercap's are in µJ, hwmon's in µJ and µW (kernel documentation of both)."""
EVERY_S: Final = 0.1
IDLE_S: Final = 1.0
COMMAND_TIMEOUT_S: Final = 5.0
JOULES_PER_KWH: Final = 3.6e6

Reading = tuple[Literal["J", "W"], float]
Meter = Callable[[], Reading]
"""Reads once: a counter's joules, or the watts at this moment.

Raises:
  MeterError: it tells no number with a unit. DeviceError: it cannot be asked.
"""


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What an inference costs in energy, of all that the meter sees.

    Attributes:
      joules_per_inference: of everything between two inferences, feeding the inputs included.
      above_idle_joules_per_inference: without what the machine takes anyway.
      watts, idle_watts: on average while measuring, and just before.
      runs: inferences that were metered.
      readings: of the meter.
      grams_co2_per_kwh: the factor that was given, None where none was.
      grams_co2_per_million: grams of CO₂ for a million inferences by that factor.
    """

    joules_per_inference: float
    above_idle_joules_per_inference: float
    watts: float
    idle_watts: float
    runs: int
    readings: int
    grams_co2_per_kwh: float | None
    grams_co2_per_million: float | None

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self)}


def file_meter(path: Path) -> Meter:
    """A meter that is a file, such as ``/sys/class/powercap/intel-rapl:0/energy_uj``."""
    unit = next((unit for pattern, unit in FILE_UNITS if re.fullmatch(pattern, path.name)), None)

    def read() -> Reading:
        try:
            return reading(path.read_text(), str(path), unit)
        except OSError as error:
            raise errors.DeviceError(f"the meter {path} cannot be read: {error.strerror}") from error

    return read


def command_meter(words: str) -> Meter:
    """A meter that is a command; it is run without a shell, and prints such as "12.5 J" or "3.1 W"."""
    try:
        command = shlex.split(words)
    except ValueError as error:
        raise errors.MeterError(f"--energy-command {words!r}: {error}") from error

    def read() -> Reading:
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise errors.DeviceError(
                f"the meter's command {words!r} took longer than {COMMAND_TIMEOUT_S:g} s"
            ) from None
        except OSError as error:
            raise errors.DeviceError(
                f"the meter's command {words!r} cannot be run: {error.strerror}"
            ) from error
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["and said nothing"])[-1]
            raise errors.DeviceError(
                f"the meter's command {words!r} failed with exit code {done.returncode}: {said}"
            )
        return reading(done.stdout, f"{words!r}", None)

    return read


def reading(text: str, source: str, unit: str | None) -> Reading:
    """A number with its unit as joules or watts.

    Example:
      >>> reading("1500 mW", "meter", None)
      ('W', 1.5)
    """
    found = re.fullmatch(r"\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*([a-zA-Zµ]*)\s*", text)
    name = (found.group(2) or unit) if found else None
    if found is None or name not in UNITS:
        told = text.strip()[:60]
        raise errors.MeterError(
            f"the meter {source} told {told!r}; expected a number with one of the units {', '.join(UNITS)}"
        )
    kind, factor = UNITS[name]
    return kind, float(found.group(1)) * factor


class Metering:
    """Reads a meter in the background as long as the block lasts; first for a second in which nothing is measured."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._readings: list[tuple[float, Reading]] = []
        self._done = threading.Event()
        self._failure: errors.EdgepackError | None = None
        self._thread = threading.Thread(target=self._read_on, daemon=True)

    def __enter__(self) -> Metering:
        self._read()
        self._thread.start()
        self._done.wait(IDLE_S)
        self._idle_until = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join(2 * COMMAND_TIMEOUT_S)
        if kind is None:
            if self._failure is not None:
                raise self._failure
            self._read()

    def _read(self) -> None:
        before = time.monotonic()
        told = self._meter()
        self._readings.append(((before + time.monotonic()) / 2, told))

    def _read_on(self) -> None:
        while not self._done.wait(EVERY_S):
            try:
                self._read()
            except errors.EdgepackError as error:
                self._failure = error
                return

    def energy(
        self, windows_s: Sequence[tuple[float, float]], *, runs: int, grams_co2_per_kwh: float | None
    ) -> Energy:
        """What `runs` inferences in these windows (by `time.monotonic`) took.

        Raises:
          MeterError: the meter was read too seldom, changed its unit, or its counter fell.
        """
        times = np.array([at for at, _ in self._readings])
        used = self._used_joules(times)
        inside = sum(began <= at <= ended for at in times for began, ended in windows_s)
        if inside < 2:
            raise errors.MeterError(
                f"the meter was read {inside} times while measuring; give more --seconds or a faster meter"
            )

        def between(began: float, ended: float) -> float:
            return float(np.interp(ended, times, used) - np.interp(began, times, used))

        joules = sum(between(began, ended) for began, ended in windows_s)
        elapsed_s = sum(ended - began for began, ended in windows_s)
        idle_watts = between(times[0], self._idle_until) / (self._idle_until - times[0])
        each = joules / runs
        factor = None if grams_co2_per_kwh is None else grams_co2_per_kwh / JOULES_PER_KWH
        return Energy(
            joules_per_inference=each,
            above_idle_joules_per_inference=(joules - idle_watts * elapsed_s) / runs,
            watts=joules / elapsed_s,
            idle_watts=idle_watts,
            runs=runs,
            readings=len(times),
            grams_co2_per_kwh=grams_co2_per_kwh,
            grams_co2_per_million=None if factor is None else 1e6 * each * factor,
        )

    def _used_joules(
        self, times: np.ndarray[tuple[int], np.dtype[np.float64]]
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Joules since the first reading, at each."""
        kinds = {kind for _, (kind, _) in self._readings}
        values = np.array([value for _, (_, value) in self._readings])
        if len(kinds) != 1 or not all(math.isfinite(value) for value in values):
            raise errors.MeterError("the meter told joules and watts in turns, or no finite number")
        steps = (values[1:] + values[:-1]) / 2 * np.diff(times) if kinds == {"W"} else np.diff(values)
        if (steps < 0).any():
            raise errors.MeterError("the meter's counter fell while measuring; it was reset or began anew")
        return np.concatenate([[0.0], np.cumsum(steps)])
