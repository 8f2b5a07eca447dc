"""Latency and memory of one model."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors, tflite
from edgepack.benchmark.circumstances import Circumstances
from edgepack.durable import storage_errors
from edgepack.records import Json, file_sha256
from edgepack.runtime import Kernels, Runtime, ask, require
from edgepack.runtime.arrays import save_npz
from edgepack.tflite.arena import arena

DEFAULT_SECONDS: Final = 2.0
MAX_WINDOW_SPREAD: Final = 0.10
MAX_RELATIVE_MAD: Final = 0.10
MAX_TAIL: Final = 2.0
FEW_RUNS: Final = 50


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Milliseconds of one inference, over all runs.

    Attributes:
      p10, p50, p90, p99: percentiles.
      mean, min, max, stdev: of all runs.
      mad: median absolute deviation from the median.
    """

    p10: float
    p50: float
    p90: float
    p99: float
    mean: float
    min: float
    max: float
    mad: float
    stdev: float

    @classmethod
    def of(cls, nanoseconds: npt.ArrayLike) -> Latency:
        """Summary of single runs.

        Example:
          >>> Latency.of([1_000_000, 2_000_000, 3_000_000]).p50
          2.0
        """
        runs = np.asarray(nanoseconds, np.float64) / 1e6
        p10, p50, p90, p99 = (float(value) for value in np.percentile(runs, [10, 50, 90, 99]))
        return cls(
            p10=p10,
            p50=p50,
            p90=p90,
            p99=p99,
            mean=float(runs.mean()),
            min=float(runs.min()),
            max=float(runs.max()),
            mad=float(np.median(np.abs(runs - p50))),
            stdev=float(runs.std(ddof=1)) if len(runs) > 1 else 0.0,
        )


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One model on one machine. There is no way to make one without saying of what, with what and on what.

    Attributes:
      sha256: of the .tflite that was timed.
      circumstances: runtime, kernels, threads, processor.
      latency_ms: of single invokes, after warm-up; feeding inputs isn't counted.
      runs, warmup_runs: how many.
      first_inference_ms: the very first invoke, which prepares kernels.
      load_ms: building the interpreter and allocating tensors.
      allocate_ms: the part of it that allocating took.
      peak_rss_bytes: of the whole interpreter process at its highest.
      model_rss_bytes: how much of that came after the runtime was imported.
      arena_bytes: of the model's activations as TFLite plans them, by calculation; None where the model wasn't at hand.
      windows_s: when each window began and ended, by `time.monotonic` of the machine that measured.
      stable: whether windows agree and runs don't scatter; where not, `warnings` say why.
    """

    sha256: str
    circumstances: Circumstances
    latency_ms: Latency
    runs: int
    warmup_runs: int
    first_inference_ms: float
    load_ms: float
    allocate_ms: float
    peak_rss_bytes: int
    model_rss_bytes: int
    arena_bytes: int | None
    windows_s: tuple[tuple[float, float], ...]
    stable: bool
    warnings: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.sha256) != 64 or self.runs < 1:
            raise errors.EdgepackError("a measurement needs the digest of its model and at least one run")

    def to_json(self) -> dict[str, Json]:
        """As in ``build.json``: flat, with the circumstances beside the numbers."""
        document: dict[str, Any] = asdict(self)
        del document["circumstances"], document["windows_s"]
        return {**document, "warnings": list(self.warnings), **self.circumstances.to_json()}

    @classmethod
    def of(
        cls,
        found: Mapping[str, Any],
        *,
        sha256: str,
        circumstances: Circumstances,
        arena_bytes: int | None = None,
    ) -> Measurement:
        """What a timing child found (`runtime.timing.time_here`), here or on a device, judged."""
        windows: list[list[int]] = found["windows_ns"]
        latency = Latency.of([run for window in windows for run in window])
        doubts = [*instability(windows, latency), *circumstances.disturbances()]
        return cls(
            sha256=sha256,
            circumstances=circumstances,
            latency_ms=latency,
            runs=sum(len(window) for window in windows),
            warmup_runs=found["warmup_runs"],
            first_inference_ms=found["first_ns"] / 1e6,
            load_ms=found["load_ms"],
            allocate_ms=found["allocate_ms"],
            peak_rss_bytes=found["peak_rss_bytes"],
            model_rss_bytes=max(0, found["peak_rss_bytes"] - found["rss_before_load_bytes"]),
            arena_bytes=arena_bytes,
            windows_s=tuple((float(began), float(ended)) for began, ended in found["windows_s"]),
            stable=not doubts,
            warnings=(*doubts, *circumstances.warnings()),
        )


def measure(
    model: Path,
    *,
    runtime: Runtime = "litert",
    kernels: Kernels = "default",
    threads: int = 1,
    seconds: float = DEFAULT_SECONDS,
    inputs: Mapping[str, npt.NDArray[Any]] | None = None,
    seed: int = 0,
    sha256: str | None = None,
    delegate: str | None = None,
    delegate_options: Mapping[str, str] | None = None,
    timeout_s: float = 600.0,
    on_progress: Callable[[float], None] | None = None,
) -> Measurement:
    """Times a .tflite in a child of its own.

    Warm-up until two windows agree, then three windows of at least 0.25 s each and 50 runs together, cut off
    so that it all takes about `seconds`. Only ``invoke`` is inside the clock.

    Args:
      model: the .tflite.
      runtime, kernels, threads: how it is run.
      seconds: for warm-up and windows; a slow model gets at least one run per window.
      inputs: input name → one sample as stored, batch axis included; None draws from each input's range.
      seed: of that drawing.
      sha256: expected digest, checked before the file is parsed.
      delegate, delegate_options: path of an external delegate's library, and what it is told.
      timeout_s: when to give up.
      on_progress: told the fraction done.

    Raises:
      ModelError, MissingDependencyError, ChildCrashError, StorageError.
      DeviceError: the delegate cannot be used.
    """
    version = require(runtime)
    with storage_errors(model):
        digest = file_sha256(model) if sha256 is None else sha256
    arguments: dict[str, Any] = {
        "model": str(model.absolute()),
        "kernels": kernels,
        "threads": threads,
        "seconds": seconds,
        "seed": seed,
        "vectors": None,
        "sha256": digest,
        "delegate": delegate,
        "delegate_options": dict(delegate_options or {}),
    }
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        if inputs is not None:
            arguments["vectors"] = str(Path(folder) / "inputs.npz")
            save_npz(Path(folder) / "inputs.npz", inputs)
        found = ask("time", arguments, runtime=runtime, timeout_s=timeout_s, on_progress=on_progress)
    circumstances = Circumstances.of(
        found, runtime=runtime, version=version, kernels=kernels, threads=threads, delegate=delegate
    )
    return Measurement.of(
        found, sha256=digest, circumstances=circumstances, arena_bytes=planned_arena_bytes(model)
    )


def planned_arena_bytes(model: Path) -> int | None:
    """Bytes of a model's activations as TFLite plans them; None where its shapes are not fixed."""
    try:
        return arena(tflite.read(model)).activation_bytes
    except errors.ModelError:
        return None


def instability(windows: Sequence[Sequence[int]], latency: Latency) -> list[str]:
    """Reasons not to trust the numbers; none where windows agree and runs don't scatter.

    Example:
      >>> instability([[100] * 30, [150] * 30], Latency.of([100] * 30 + [150] * 30))[0]
      'unstable: medians of the windows differ by 50 %'
    """
    medians = [float(np.median(window)) for window in windows]
    spread = max(medians) / min(medians) - 1.0
    doubts = []
    if spread > MAX_WINDOW_SPREAD:
        doubts.append(f"unstable: medians of the windows differ by {spread:.0%}".replace("%", " %"))
    if latency.mad > MAX_RELATIVE_MAD * latency.p50:
        doubts.append(
            f"unstable: the runs scatter by {100 * latency.mad / latency.p50:.0f} % (MAD of the median)"
        )
    if latency.p90 > MAX_TAIL * latency.p50:
        doubts.append(
            f"unstable: one run in ten takes {latency.p90 / latency.p50:.1f} times the median or longer"
        )
    runs = sum(len(window) for window in windows)
    if runs < FEW_RUNS:
        doubts.append(f"only {runs} runs in the time given; give more seconds for better percentiles")
    return doubts
