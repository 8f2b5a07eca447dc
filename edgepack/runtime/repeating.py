"""Child side: inputs for a model that nobody gave data for, and a model invoked so many times and no more.

Sent to devices, whose Python may be 3.9.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgepack import errors
from edgepack.runtime.arrays import save_npz
from edgepack.runtime.drawing import drawn
from edgepack.runtime.inference import Report
from edgepack.runtime.interpreter import load
from edgepack.runtime.stopwatch import feeds_of


def draw_here(
    *, runtime: str, model: str, sha256: str | None, target: str, count: int, seed: int, report: Report
) -> dict[str, Any]:
    """Writes `count` drawn samples of each input, as stored, to the .npz `target`."""
    loaded = load(Path(model), runtime=runtime, kernels="reference", threads=1, sha256=sha256)
    random = np.random.Generator(np.random.PCG64(seed))
    many = {
        name: replace(port, shape=(count, *port.shape[1:])) for name, port in sorted(loaded.inputs.items())
    }
    save_npz(Path(target), {name: drawn(port, random) for name, port in many.items()})
    return {"samples": count}


def invoke_here(
    *,
    runtime: str,
    model: str,
    sha256: str | None,
    kernels: str,
    threads: int,
    seed: int,
    invokes: int,
    report: Report,
) -> dict[str, Any]:
    """Feeds a model once and invokes it `invokes` times: what somebody outside counts."""
    loaded = load(Path(model), runtime=runtime, kernels=kernels, threads=threads, sha256=sha256)
    for index, array in feeds_of(loaded, seed):
        loaded.handle.set_tensor(index, array)
    try:
        for _ in range(invokes):
            loaded.handle.invoke()
    except (ValueError, RuntimeError) as error:
        raise errors.ModelError(f"{model}: the interpreter refused to run: {error}") from error
    return {"invokes": invokes}
