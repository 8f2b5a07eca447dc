"""The operation "round_weights": kernels on a grid of few bits, on which the converter puts them again.

The .tflite holds int8 weights as ever; fewer levels make fewer bytes once it is compressed (`numerics.obs_round`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from edgepack.backend import obs_walk, rebuild, session
from edgepack.backend.epochs import Report
from edgepack.backend.found import answer
from edgepack.backend.obs_walk import Array, Key
from edgepack.numerics.obs_round import round_to_grid
from edgepack.numerics.obs_sweep import Curvature
from edgepack.records import Json


def round_weights(
    *,
    source: str,
    target: str,
    layers: Mapping[str, Mapping[str, Any]],
    bits: int,
    per: Literal["channel", "layer"],
    statistics: str,
    calibration: Mapping[str, Any] | None,
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Writes `target`: `source` with rounded kernels, and biases that make up for the mean of the change.

    Zeros stay zero.

    Args:
      source: folded candidate.
      layers: {name: {"kernels": [roles]}}.
      bits: 2 … 8.
      per: a scale for each output channel, or for the whole kernel, as the converter will be asked for.
      statistics: file of `numerics.layer_statistics` of `source`.
      calibration, seed: see `obs_walk.changed`.

    Returns:
      See `found.answer`; "layers" only those that were rounded.
    """
    session.seed_everything(seed)
    known = obs_walk.read_statistics(statistics)
    asked = [(name, role) for name, parameters in layers.items() for role in parameters["kernels"]]
    wanted = [key for key in asked if key in known]

    def rounded(key: Key, before: Array, refitted: Array, curvature: Curvature) -> Array:
        return round_to_grid(refitted, curvature, bits, per=per, kept=before != 0).weights

    graph = obs_walk.changed(
        rebuild.read(Path(source)), known, wanted, rounded, calibration=calibration, seed=seed, report=report
    )
    rebuild.save(rebuild.build(graph), Path(target))
    roles: dict[str, dict[str, list[str]]] = {}
    for name, role in wanted:
        roles.setdefault(name, {"kernels": []})["kernels"].append(role)
    notes: list[dict[str, Json]] = [
        obs_walk.unseen_note(*key, "stays at 8 bits") for key in asked if key not in known
    ]
    return answer(Path(target), roles, notes=notes)
