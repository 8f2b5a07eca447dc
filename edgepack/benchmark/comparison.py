"""Which of two models is faster, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from edgepack import errors
from edgepack.benchmark.circumstances import Circumstances
from edgepack.benchmark.measurement import Latency
from edgepack.durable import storage_errors
from edgepack.records import Json, file_sha256
from edgepack.runtime import Kernels, Runtime, ask, require

DEFAULT_SECONDS: Final = 6.0
ROUNDS: Final = 12
RESAMPLES: Final = 4000
CONFIDENCE: Final = 0.95
STUDENT_T_975: Final = (
    4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093,
)  # fmt: skip
"""Upper 2.5 % points of Student's t for 2, 3, … 19 degrees of freedom."""
MIN_ROUNDS, MAX_ROUNDS = 3, 20


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Time of A over time of B: below 1, A is faster.

    Attributes:
      a_sha256, b_sha256: the files.
      circumstances: the same for both: they took turns in one process.
      a_ms, b_ms: all runs of each.
      ratio: geometric mean over rounds of A's median by B's.
      low, high: interval of the ratio.
      confidence: of that interval.
      rounds: how often both were loaded anew.
      warnings: why to doubt.
    """

    a_sha256: str
    b_sha256: str
    circumstances: Circumstances
    a_ms: Latency
    b_ms: Latency
    ratio: float
    low: float
    high: float
    confidence: float
    rounds: int
    warnings: tuple[str, ...]

    @classmethod
    def of(
        cls,
        found: Mapping[str, Any],
        *,
        a_sha256: str,
        b_sha256: str,
        circumstances: Circumstances,
        seed: int,
    ) -> Comparison:
        """What a timing child found (`runtime.timing.time_pair_here`), here or on a device, judged."""
        rounds: list[dict[str, list[int]]] = found["rounds"]
        ratio, low, high = ratio_interval(rounds, seed=seed)
        return cls(
            a_sha256=a_sha256,
            b_sha256=b_sha256,
            circumstances=circumstances,
            a_ms=Latency.of([run for each in rounds for run in each["a"]]),
            b_ms=Latency.of([run for each in rounds for run in each["b"]]),
            ratio=ratio,
            low=low,
            high=high,
            confidence=CONFIDENCE,
            rounds=len(rounds),
            warnings=(*circumstances.disturbances(), *circumstances.warnings()),
        )

    @property
    def differs(self) -> bool:
        """Whether the interval leaves 1 out."""
        return not self.low <= 1.0 <= self.high

    def to_json(self) -> dict[str, Json]:
        document: dict[str, Any] = asdict(self)
        del document["circumstances"]
        told = self.circumstances.to_json()
        return {**document, "warnings": list(self.warnings), "differs": self.differs, **told}


def compare(
    a: Path,
    b: Path,
    *,
    runtime: Runtime = "litert",
    kernels: Kernels = "default",
    threads: int = 1,
    seconds: float = DEFAULT_SECONDS,
    rounds: int = ROUNDS,
    seed: int = 0,
    a_sha256: str | None = None,
    b_sha256: str | None = None,
    delegate: str | None = None,
    delegate_options: Mapping[str, str] | None = None,
    timeout_s: float = 900.0,
    on_progress: Callable[[float], None] | None = None,
) -> Comparison:
    """Times two models in turns, a few milliseconds each, in one process, over several rounds of fresh loads.

    Args:
      a, b: .tflite files; A is divided by B.
      runtime, kernels, threads: the same for both.
      seconds: for everything.
      rounds: at least 3, at most 20.
      seed: of inputs, order and resampling.
      a_sha256, b_sha256: expected digests.
      delegate, delegate_options: path of an external delegate's library, and what it is told; the same for both.
      timeout_s: when to give up.
      on_progress: told the fraction done.

    Raises:
      ModelError, MissingDependencyError, ChildCrashError, StorageError.
    """
    version = require(runtime)
    with storage_errors(a):
        a_digest = file_sha256(a) if a_sha256 is None else a_sha256
    with storage_errors(b):
        b_digest = file_sha256(b) if b_sha256 is None else b_sha256
    arguments = {
        "a": str(a.absolute()),
        "b": str(b.absolute()),
        "a_sha256": a_digest,
        "b_sha256": b_digest,
        "kernels": kernels,
        "threads": threads,
        "seconds": seconds,
        "rounds": rounds,
        "seed": seed,
        "delegate": delegate,
        "delegate_options": dict(delegate_options or {}),
    }
    found = ask("time_pair", arguments, runtime=runtime, timeout_s=timeout_s, on_progress=on_progress)
    circumstances = Circumstances.of(
        found, runtime=runtime, version=version, kernels=kernels, threads=threads, delegate=delegate
    )
    return Comparison.of(found, a_sha256=a_digest, b_sha256=b_digest, circumstances=circumstances, seed=seed)


def ratio_interval(rounds: Sequence[Mapping[str, Sequence[int]]], *, seed: int) -> tuple[float, float, float]:
    """Ratio of A's median to B's with a bootstrap interval over rounds.

    Whole rounds are resampled: runs within one share its memory layout and the machine's mood. With so few
    rounds a percentile interval is too narrow, so its percentiles are spread as Hesterberg does ("What
    Teachers Should Know About the Bootstrap", 2015: the expanded percentile interval).

    Args:
      rounds: nanoseconds of all runs under "a" and "b".

    Returns:
      ratio, low end, high end.

    Example:
      >>> ratio_interval([{"a": [20, 22], "b": [10, 11]}] * 5, seed=0)
      (2.0, 2.0, 2.0)
    """
    count = len(rounds)
    if not MIN_ROUNDS <= count <= MAX_ROUNDS:
        raise errors.BadInputError(f"{count} rounds; a comparison takes {MIN_ROUNDS} to {MAX_ROUNDS}")
    logs = np.array([math.log(np.median(each["a"]) / np.median(each["b"])) for each in rounds])
    random = np.random.Generator(np.random.PCG64(seed))
    means = logs[random.integers(0, count, size=(RESAMPLES, count))].mean(axis=1)
    tail = NormalDist().cdf(-math.sqrt(count / (count - 1)) * STUDENT_T_975[count - MIN_ROUNDS])
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return tuple(round(math.exp(value), 6) for value in (logs.mean(), low, high))  # type: ignore[return-value]
