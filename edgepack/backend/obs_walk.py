"""Kernels changed one after the other, each on what the changes before it left of its input.

The original and the changing model run side by side (`joint_walk`). At each kernel the weights are first refitted, so
that they give the original's outputs from the inputs as they are by then (`fitted`); a method changes those; and the
bias keeps the mean output. Errors of early layers are so made up for by later ones instead of adding up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.backend import joint_walk
from edgepack.backend.fitted import Fitted
from edgepack.backend.joint_patches import drawn_patches
from edgepack.backend.refit import PATCHES, PER_INPUT, SAMPLES, written
from edgepack.backend.statistics_graph import Reading, opened
from edgepack.backend.statistics_inputs import samples_of
from edgepack.gate.graph import Graph
from edgepack.numerics import layer_statistics
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.obs_sweep import Curvature
from edgepack.records import Json

Array: TypeAlias = npt.NDArray[Any]
Key: TypeAlias = tuple[str, str]
"""(layer, role) of a kernel."""
Statistics: TypeAlias = Mapping[Key, LayerStatistics]
Change: TypeAlias = Callable[[Key, Array, Array, Curvature], Array]
"""(kernel, weights as they were [g, d, n], weights refitted [g, d, n], curvature) → weights [g, d, n]."""
Report: TypeAlias = Callable[[str, float | None], None]


def read_statistics(path: str | None) -> Statistics:
    """The statistics of a file; none without a file."""
    return {} if path is None else layer_statistics.read(Path(path))


def changed(
    graph: Graph,
    statistics: Statistics,
    wanted: Collection[Key],
    change: Change,
    *,
    calibration: Mapping[str, Any] | None,
    seed: int,
    report: Report,
) -> Graph:
    """The graph with its wanted kernels changed in the order of the calls; others, and what is not observed, stay.

    Args:
      graph: of a folded candidate.
      statistics: of `graph`.
      wanted: kernels that have statistics.
      change: what becomes of a kernel.
      calibration: ``Dataset.to_json()``; None for made-up inputs.
      seed: of the positions that are drawn, and of made-up inputs.
    """
    from edgepack.backend import rebuild

    if not wanted:
        return graph
    apart, readings, _ = opened(graph)
    by_name = {reading.opened.name: reading for reading in readings}
    original, changing = rebuild.build(apart), rebuild.build(apart)
    given = samples_of(original, calibration, SAMPLES, seed)
    count = joint_walk.affordable(original, given.count)
    walk = _Walk(
        readings=by_name,
        shared={name for name in by_name if apart.calls_of(name) > 1},
        statistics=statistics,
        wanted=frozenset(wanted),
        change=change,
        seed=seed,
        report=report,
    )
    joint_walk.side_by_side(original, changing, given.rows(0, count), walk.visit)
    return written(graph, by_name, changing)


@dataclasses.dataclass(kw_only=True)
class _Walk:
    """What is done at each layer."""

    readings: Mapping[str, Reading]
    shared: Collection[str]
    statistics: Statistics
    wanted: frozenset[Key]
    change: Change
    seed: int
    report: Report
    done: int = 0

    def visit(self, name: str, layer: Any, before: list[Any], now: list[Any]) -> None:
        """Sets the weights of a layer of the changing model."""
        reading = self.readings.get(name)
        seen = None if reading is None else self.statistics.get((reading.layer, reading.role))
        if reading is None or seen is None:
            return
        key = (reading.layer, reading.role)
        kernel, *bias = layer.get_weights()
        if key in self.wanted:
            self.report(f"refitting and changing {reading.layer}", self.done / len(self.wanted))
            self.done += 1
        elif (reading.layer, "depthwise") not in self.wanted:
            return
        fitted = self._fitted(name, seen, kernel, before, now)
        chosen = seen.unfold(kernel)
        if key in self.wanted:
            chosen = self.change(key, chosen, fitted.weights, Curvature.of(fitted.statistics))
            # Zero times a negative scale is −0.0; files repeat only with one zero.
            kernel = seen.fold(chosen, kernel.shape).astype(np.float32) + np.float32(0.0)
        # The bias of a separable layer lies behind its pointwise half, and makes up for the depthwise one, too.
        values = [fitted.bias(each, chosen).astype(np.float32) for each in bias]
        layer.set_weights([kernel, *values])

    def _fitted(
        self, name: str, seen: LayerStatistics, kernel: Array, before: list[Any], now: list[Any]
    ) -> Fitted:
        if name in self.shared:
            return Fitted.of(seen, kernel)
        limit = max(PATCHES, PER_INPUT * seen.mean.shape[1])
        first, second = drawn_patches(self.readings[name], seen.layout, [before, now], limit, self.seed)
        return Fitted.to(seen, kernel, first, second)


def unseen_note(layer: str, role: str, instead: str) -> dict[str, Json]:
    """The ledger line of a kernel that had to be treated without statistics."""
    return {"layer": layer, "action": "note", "reason": f"{role}: no layer statistics: {instead}"}
