"""Single invokes by the clock: feeding, warming up until stable, windows of runs. Sent to devices."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.runtime.drawing import drawn
from edgepack.runtime.interpreter import Loaded

WINDOWS: Final = 3
MIN_RUNS: Final = 50
"""In all windows together, as long as the time limit allows it."""
MAX_RUNS_PER_WINDOW: Final = 20_000
WARMUP_WINDOW_S: Final = 0.02
WARMUP_AGREEMENT: Final = 0.05
"""Warm-up ends when two successive windows' medians differ by less than this."""

Run = Callable[[], int]
"""Feeds the model, invokes it once, and returns the nanoseconds of the invoke alone."""


def run_of(loaded: Loaded, feeds: list[tuple[int, npt.NDArray[Any]]]) -> Run:
    """What times one invoke of a loaded model."""
    handle, clock = loaded.handle, time.perf_counter_ns

    def run() -> int:
        for index, array in feeds:
            handle.set_tensor(index, array)
        handle.reset_all_variables()
        started = clock()
        handle.invoke()
        return clock() - started

    return run


def feeds_of(loaded: Loaded, seed: int, vectors: str | None = None) -> list[tuple[int, npt.NDArray[Any]]]:
    """What the inputs are fed: rows of an .npz, or values drawn with `seed`."""
    if vectors is not None:
        with np.load(vectors, allow_pickle=False) as archive:
            return [(port.index, archive[name]) for name, port in loaded.inputs.items()]
    random = np.random.Generator(np.random.PCG64(seed))
    return [(port.index, drawn(port, random)) for port in loaded.inputs.values()]


def warm_up(run: Run, *, limit_s: float) -> int:
    """Runs until two windows agree, or the limit; returns how many runs that were."""
    runs, before, end = 0, float("inf"), time.perf_counter() + limit_s
    while time.perf_counter() < end:
        found = window(run, WARMUP_WINDOW_S, WARMUP_WINDOW_S, min_runs=3)
        runs += len(found)
        median = float(np.median(found))
        if abs(median - before) <= WARMUP_AGREEMENT * median:
            break
        before = median
    return runs


def window(run: Run, minimum_s: float, limit_s: float, min_runs: int = MIN_RUNS // WINDOWS + 1) -> list[int]:
    """Runs for `minimum_s` and `min_runs`, but not past `limit_s`; at least once. Nanoseconds of each."""
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
