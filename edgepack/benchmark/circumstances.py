"""What a number was measured with and on, and whether that makes it doubtful."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from edgepack import errors
from edgepack.records import Json

MAX_OTHERS_SHARE: Final = 0.25
"""Of the cores, that other processes may keep busy."""
MAX_WAITED: Final = 0.02
MAX_STOLEN: Final = 0.02
MAX_CLOCK_CHANGE: Final = 0.10


@dataclass(frozen=True, kw_only=True)
class State:
    """The machine at one moment; None is what it doesn't tell (containers, virtual machines).

    Attributes:
      frequency_mhz: of the first core.
      governor: of its frequency.
      temperature_c: of the processor.
      throttled: why it is slower than it could be; empty where it isn't.
      load: runnable processes over the last minute.
    """

    frequency_mhz: float | None
    governor: str | None
    temperature_c: float | None
    throttled: tuple[str, ...] | None
    load: float | None

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> State:
        throttled = told["throttled"]
        return cls(**{**told, "throttled": None if throttled is None else tuple(throttled)})


@dataclass(frozen=True, kw_only=True)
class Strain:
    """What disturbed the measuring process; None is what the system doesn't tell.

    Attributes:
      others_cores: cores that other processes kept busy.
      stolen: fraction of the cores' time that a hypervisor gave to other machines.
      waited: fraction of the time that its threads were ready and had no core.
      throttle_events: how often the processor slowed down to keep cool.
    """

    others_cores: float | None
    stolen: float | None
    waited: float | None
    throttle_events: float | None


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """Where and how something was timed.

    Attributes:
      runtime, version: the interpreter.
      kernels: "default" or "reference".
      threads: of the interpreter.
      delegate: path of an external delegate's library, None for none.
      machine: architecture, such as "x86_64".
      cpu: the processor's own name.
      cores: that this process may use.
      states: the machine before, during and after measuring.
      strain: what disturbed the measuring.
    """

    runtime: str
    version: str
    kernels: str
    threads: int
    delegate: str | None
    machine: str
    cpu: str
    cores: int
    states: tuple[State, ...]
    strain: Strain

    def __post_init__(self) -> None:
        named = (self.runtime, self.version, self.kernels, self.machine, self.cpu)
        if not all(named) or self.threads < 1 or self.cores < 1 or not self.states:
            raise errors.EdgepackError(f"a measurement needs its full circumstances; got {self}")

    @classmethod
    def of(
        cls,
        found: Mapping[str, Any],
        *,
        runtime: str,
        version: str,
        kernels: str,
        threads: int,
        delegate: str | None = None,
    ) -> Circumstances:
        """The circumstances that a timing child tells with its numbers (``machine``, ``states``, ``strain``)."""
        return cls(
            runtime=runtime,
            version=version,
            kernels=kernels,
            threads=threads,
            delegate=delegate,
            **found["machine"],
            states=tuple(State.of(state) for state in found["states"]),
            strain=Strain(**found["strain"]),
        )

    @property
    def environment(self) -> dict[str, str]:
        """What must be the same where two numbers are compared."""
        return {
            "runtime": f"{self.runtime} {self.version}",
            "kernels": self.kernels,
            "threads": str(self.threads),
            "delegate": str(self.delegate),
            "machine": self.machine,
            "cpu": self.cpu,
            "cores": str(self.cores),
        }

    def to_json(self) -> dict[str, Json]:
        """Flat, with the first state's governor, frequency and load beside the rest."""
        document: dict[str, Any] = asdict(self)
        before = document["states"][0]
        return {**document, **{name: before[name] for name in ("governor", "frequency_mhz", "load")}}

    def disturbances(self) -> list[str]:
        """Reasons why the machine was not itself while measuring: throttled, or busy with something else."""
        found = [*self._slowed()]
        strain = self.strain
        if strain.others_cores is not None and strain.others_cores > MAX_OTHERS_SHARE * self.cores:
            found.append(
                f"unstable: the machine was loaded, others kept {strain.others_cores:.1f} of {self.cores} cores busy"
            )
        if strain.waited is not None and strain.waited > MAX_WAITED:
            found.append(f"unstable: it waited for a core {100 * strain.waited:.0f} % of the time")
        if strain.stolen is not None and strain.stolen > MAX_STOLEN:
            found.append(
                f"unstable: the hypervisor gave {100 * strain.stolen:.0f} % of the cores' time to other machines"
            )
        return found

    def _slowed(self) -> list[str]:
        found = []
        reasons = sorted({reason for state in self.states for reason in state.throttled or ()})
        if reasons:
            found.append(f"unstable: the processor was held back: {', '.join(reasons)}")
        elif self.strain.throttle_events:
            found.append(
                f"unstable: the processor was throttled {self.strain.throttle_events:g} times to keep cool"
            )
        # Before, the clock may rest; from the first window on it must hold.
        clocks = [state.frequency_mhz for state in self.states[1:] if state.frequency_mhz]
        if clocks and min(clocks) < (1 - MAX_CLOCK_CHANGE) * max(clocks):
            found.append(f"unstable: the clock changed between {min(clocks):.0f} and {max(clocks):.0f} MHz")
        return found

    def warnings(self) -> list[str]:
        """What else makes a timing doubtful."""
        found = []
        before = self.states[0]
        if before.load is not None and before.load > self.cores:
            found.append(f"the machine was busy: load {before.load:.1f} on {self.cores} cores")
        if self.threads > self.cores:
            found.append(f"{self.threads} threads on {self.cores} cores")
        if before.governor not in (None, "performance"):
            found.append(
                f"the frequency governor is {before.governor!r}: clock speed may change while measuring"
            )
        return found
