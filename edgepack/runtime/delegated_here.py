"""Child side: the same drawn inputs through reference kernels, default kernels and an external delegate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.runtime.drawing import drawn
from edgepack.runtime.golden import argmax_agreement, difference
from edgepack.runtime.inference import Arrays, Report
from edgepack.runtime.interpreter import load


def delegated_here(
    *,
    runtime: str,
    model: str,
    sha256: str,
    threads: int,
    samples: int,
    seed: int,
    delegate: str,
    delegate_options: Mapping[str, str],
    report: Report,
) -> dict[str, Any]:
    """How far the delegate's outputs are from those of the reference kernels.

    Returns:
      ``outputs``: for each output its name, the largest distance of the delegate and of the default kernels from the
      reference kernels as stored, the agreement of their largest elements, and whether it is of integers.
    """
    ways = {
        "reference": ("reference", None),
        "default": ("default", None),
        "delegate": ("default", delegate),
    }
    found: dict[str, Arrays] = {}
    for number, (way, (kernels, library)) in enumerate(ways.items()):
        report(number / len(ways))
        loaded = load(
            Path(model),
            runtime=runtime,
            kernels=kernels,
            threads=threads,
            sha256=sha256,
            delegate=library,
            delegate_options=delegate_options,
        )
        random = np.random.Generator(np.random.PCG64(seed))
        rows: dict[str, list[Any]] = {port.name: [] for port in loaded.outputs}
        for _ in range(samples):
            for port in loaded.inputs.values():
                loaded.handle.set_tensor(port.index, drawn(port, random))
            loaded.handle.reset_all_variables()
            loaded.handle.invoke()
            for port in loaded.outputs:
                rows[port.name].append(loaded.handle.get_tensor(port.index))
        found[way] = {
            name: np.concatenate([np.atleast_1d(row) for row in each]) for name, each in rows.items()
        }
    reference = found["reference"]
    return {
        "outputs": [
            {
                "name": name,
                "difference": difference(reference[name], found["delegate"][name]),
                "default_difference": difference(reference[name], found["default"][name]),
                "argmax_agreement": argmax_agreement(reference[name], found["delegate"][name]),
                "largest": float(np.max(np.abs(reference[name].astype(np.float64)), initial=0.0)),
                "integers": bool(np.issubdtype(reference[name].dtype, np.integer)),
            }
            for name in sorted(reference)
        ]
    }
