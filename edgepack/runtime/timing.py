"""What the child times: one model, two in turns, or many one after the other; and what the machine did meanwhile.

Only numbers are taken here; `benchmark` judges them. Sent to devices.
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgepack.runtime import machine
from edgepack.runtime.inference import Report
from edgepack.runtime.interpreter import Loaded, load, module_of
from edgepack.runtime.stopwatch import WINDOWS, Run, feeds_of, run_of, warm_up, window

BLOCK_S: Final = 0.005
"""How long one model runs before the other takes over, when two are compared."""


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
    delegate: str | None,
    delegate_options: Mapping[str, str],
    report: Report,
) -> dict[str, Any]:
    """Times one model: ``windows_ns`` of single invokes, load, allocate and first-inference time, memory.

    Args:
      seconds: about how long warm-up and windows may take together.
      vectors: .npz of inputs as stored, one row each; None draws them with `seed`.
      delegate, delegate_options: see `interpreter.load`.

    Returns:
      also ``machine``, ``states`` (before, after each window) and ``strain`` of `machine`; ``windows_s``, when each
      window began and ended by `time.monotonic`.
    """
    module_of(runtime)  # importing it is not part of loading a model
    before_bytes = _memory("VmRSS")
    loaded = load(
        Path(model),
        runtime=runtime,
        kernels=kernels,
        threads=threads,
        sha256=sha256,
        delegate=delegate,
        delegate_options=delegate_options,
    )
    run = run_of(loaded, feeds_of(loaded, seed, vectors))
    gc.disable()
    first_ns = run()
    states = [machine.state()]
    warmup_runs = 1 + warm_up(run, limit_s=0.2 * seconds)
    minimum_s, limit_s = 0.375 * seconds / WINDOWS, 0.8 * seconds / WINDOWS
    windows, spans, strain = [], [], machine.Strain()
    for number in range(WINDOWS):
        report((number + 1) / (WINDOWS + 1))
        began = time.monotonic()
        windows.append(window(run, minimum_s, limit_s))
        spans.append((began, time.monotonic()))
        states.append(machine.state())
    return {
        "load_ms": loaded.load_ms,
        "allocate_ms": loaded.allocate_ms,
        "first_ns": first_ns,
        "warmup_runs": warmup_runs,
        "windows_ns": windows,
        "windows_s": spans,
        "peak_rss_bytes": _memory("VmHWM"),
        "rss_before_load_bytes": before_bytes,
        **_told(states, strain),
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
    delegate: str | None,
    delegate_options: Mapping[str, str],
    report: Report,
) -> dict[str, Any]:
    """Times two models in turns.

    Each round loads both anew, because where their memory lands decides a percent or two.

    Returns:
      ``rounds``: for each round the nanoseconds of all invokes of A and of B; machine, states and strain as `time_here`.
    """
    module_of(runtime)
    random = np.random.Generator(np.random.PCG64(seed))
    gc.disable()
    results: list[dict[str, list[int]]] = []
    states, strain = [machine.state()], machine.Strain()
    for number in range(rounds):
        report(number / rounds)
        order = [("a", a, a_sha256), ("b", b, b_sha256)]
        if random.integers(2):
            order.reverse()
        runs: dict[str, Run] = {}
        for name, path, sha256 in order:
            loaded = load(
                Path(path),
                runtime=runtime,
                kernels=kernels,
                threads=threads,
                sha256=sha256,
                delegate=delegate,
                delegate_options=delegate_options,
            )
            runs[name] = run_of(loaded, feeds_of(loaded, seed))
        for run in runs.values():
            run()
            warm_up(run, limit_s=0.15 * seconds / rounds)
        results.append(_interleave(runs, [name for name, _, _ in order], limit_s=0.7 * seconds / rounds))
        states.append(machine.state())
    return {"rounds": results, **_told([states[0], states[len(states) // 2], states[-1]], strain)}


def time_each_here(
    *,
    runtime: str,
    models: Sequence[Mapping[str, str]],
    kernels: str,
    threads: int,
    seconds: float,
    rounds: int,
    seed: int,
    delegate: str | None,
    delegate_options: Mapping[str, str],
    report: Report,
) -> dict[str, Any]:
    """Times many models in one process, all of them in every round, each loaded anew.

    Args:
      models: ``model`` and ``sha256`` of each.
      seconds: for one model in one round.

    Returns:
      ``p10_ns``: [models][rounds], the tenth percentile of single invokes; machine, states and strain as `time_here`.
    """
    module_of(runtime)
    gc.disable()
    p10_ns: list[list[float]] = [[] for _ in models]
    states, strain = [machine.state()], machine.Strain()
    for number in range(rounds):
        for place, each in enumerate(models):
            report((number + place / len(models)) / rounds)
            loaded: Loaded = load(
                Path(each["model"]),
                runtime=runtime,
                kernels=kernels,
                threads=threads,
                sha256=each["sha256"],
                delegate=delegate,
                delegate_options=delegate_options,
            )
            run = run_of(loaded, feeds_of(loaded, seed))
            warm_up(run, limit_s=0.4 * seconds)
            p10_ns[place].append(float(np.percentile(window(run, 0.6 * seconds, 0.6 * seconds), 10)))
        states.append(machine.state())
    return {"p10_ns": p10_ns, **_told(states, strain)}


def _told(states: list[dict[str, Any]], strain: machine.Strain) -> dict[str, Any]:
    return {"machine": machine.described(), "states": states, "strain": strain.told()}


def _interleave(runs: dict[str, Run], order: list[str], *, limit_s: float) -> dict[str, list[int]]:
    """ABBA ABBA …: what drifts slowly touches both alike."""
    found: dict[str, list[int]] = {name: [] for name in runs}
    end = time.perf_counter() + limit_s
    while True:
        for name in (*order, *reversed(order)):
            found[name] += window(runs[name], BLOCK_S, BLOCK_S, min_runs=1)
        if time.perf_counter() >= end:
            return found


def _memory(field: str) -> int:
    """A size from /proc/self/status in bytes. `getrusage` would count the parent's image from before exec."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
