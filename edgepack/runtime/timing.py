"""The child's stop-watch: warm-up until stable, windows of single invokes, interleaved rounds of two models.

Only numbers are taken here; `benchmark` judges them.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.runtime.drawing import drawn
from edgepack.runtime.inference import Report
from edgepack.runtime.interpreter import Loaded, load, module_of

WINDOWS: Final = 3
MIN_RUNS: Final = 50
"""In all windows together, as long as the time limit allows it."""
MAX_RUNS_PER_WINDOW: Final = 20_000
WARMUP_WINDOW_S: Final = 0.02
WARMUP_AGREEMENT: Final = 0.05
"""Warm-up ends when two successive windows' medians differ by less than this."""
BLOCK_S: Final = 0.005
"""How long one model runs before the other takes over, when two are compared."""

Run = Callable[[], int]
"""Feeds the model, invokes it once, and returns the nanoseconds of the invoke alone."""


def time_here(
    *,
    runtime: str,
    model: str,
    kernels: str,
    threads: int,
    seconds: float,
    seed: int,
    vectors: str | None,
    sha256: str | None,
    report: Report,
) -> dict[str, Any]:
    """Times one model: ``windows`` of nanoseconds per invoke, load and first-inference time, memory.

    Args:
      seconds: about how long warm-up and windows may take together.
      vectors: .npz of inputs as stored, one row each; None draws them with `seed`.
    """
    module_of(runtime)  # importing it is not part of loading a model
    before_bytes = _memory("VmRSS")
    loaded = load(Path(model), runtime=runtime, kernels=kernels, threads=threads, sha256=sha256)
    run = _runner(loaded, _feeds(loaded, seed, vectors))
    gc.disable()
    first_ns = run()
    warmup_runs = 1 + _warm_up(run, limit_s=0.2 * seconds)
    minimum_s, limit_s = 0.375 * seconds / WINDOWS, 0.8 * seconds / WINDOWS
    windows = []
    for number in range(WINDOWS):
        report((number + 1) / (WINDOWS + 1))
        windows.append(_window(run, minimum_s, limit_s))
    return {
        "load_ms": loaded.load_ms,
        "first_ns": first_ns,
        "warmup_runs": warmup_runs,
        "windows_ns": windows,
        "peak_rss_bytes": _memory("VmHWM"),
        "rss_before_load_bytes": before_bytes,
    }


def time_pair_here(
    *,
    runtime: str,
    a: str,
    b: str,
    a_sha256: str | None,
    b_sha256: str | None,
    kernels: str,
    threads: int,
    seconds: float,
    rounds: int,
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Times two models in turns.

    Each round loads both anew, because where their memory lands decides a percent or two.

    Returns:
      ``rounds``: for each round the nanoseconds of all invokes of A and of B.
    """
    module_of(runtime)
    random = np.random.Generator(np.random.PCG64(seed))
    gc.disable()
    results: list[dict[str, list[int]]] = []
    for number in range(rounds):
        report(number / rounds)
        order = [("a", a, a_sha256), ("b", b, b_sha256)]
        if random.integers(2):
            order.reverse()
        runs: dict[str, Run] = {}
        for name, path, sha256 in order:
            loaded = load(Path(path), runtime=runtime, kernels=kernels, threads=threads, sha256=sha256)
            runs[name] = _runner(loaded, _feeds(loaded, seed, None))
        for run in runs.values():
            run()
            _warm_up(run, limit_s=0.15 * seconds / rounds)
        results.append(_interleave(runs, [name for name, _, _ in order], limit_s=0.7 * seconds / rounds))
    return {"rounds": results}


def _interleave(runs: dict[str, Run], order: list[str], *, limit_s: float) -> dict[str, list[int]]:
    """ABBA ABBA …: what drifts slowly touches both alike."""
    found: dict[str, list[int]] = {name: [] for name in runs}
    end = time.perf_counter() + limit_s
    while True:
        for name in (*order, *reversed(order)):
            found[name] += _window(runs[name], BLOCK_S, BLOCK_S, min_runs=1)
        if time.perf_counter() >= end:
            return found


def _runner(loaded: Loaded, feeds: list[tuple[int, npt.NDArray[Any]]]) -> Run:
    handle, clock = loaded.handle, time.perf_counter_ns

    def run() -> int:
        for index, array in feeds:
            handle.set_tensor(index, array)
        handle.reset_all_variables()
        started = clock()
        handle.invoke()
        return clock() - started

    return run


def _warm_up(run: Run, *, limit_s: float) -> int:
    runs, before, end = 0, float("inf"), time.perf_counter() + limit_s
    while time.perf_counter() < end:
        window = _window(run, WARMUP_WINDOW_S, WARMUP_WINDOW_S, min_runs=3)
        runs += len(window)
        median = float(np.median(window))
        if abs(median - before) <= WARMUP_AGREEMENT * median:
            break
        before = median
    return runs


def _window(run: Run, minimum_s: float, limit_s: float, min_runs: int = MIN_RUNS // WINDOWS + 1) -> list[int]:
    """Runs for `minimum_s` and `min_runs`, but not past `limit_s`; at least once."""
    found: list[int] = []
    started = time.perf_counter()
    while True:
        found.append(run())
        elapsed = time.perf_counter() - started
        if (
            elapsed >= limit_s
            or len(found) >= MAX_RUNS_PER_WINDOW
            or (elapsed >= minimum_s and len(found) >= min_runs)
        ):
            return found


def _feeds(loaded: Loaded, seed: int, vectors: str | None) -> list[tuple[int, npt.NDArray[Any]]]:
    if vectors is not None:
        with np.load(vectors, allow_pickle=False) as archive:
            return [(port.index, archive[name]) for name, port in loaded.inputs.items()]
    random = np.random.Generator(np.random.PCG64(seed))
    return [(port.index, drawn(port, random)) for port in loaded.inputs.values()]


def _memory(field: str) -> int:
    """A size from /proc/self/status in bytes. `getrusage` would count the parent's image from before exec."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
