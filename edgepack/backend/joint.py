"""The operation "joint": one plan for a whole model carried out, layer by layer, each on what the others left of its input.

For every layer in the order of the calls: (1) the weights that best give the original's outputs from the inputs as they
now are, by least squares (asymmetric reconstruction: Zhang et al., 2015; Frantar et al., "GPTQ", with the drift of the
inputs made up for); (2) those weights rounded for error and for bytes at the plan's price, errors fed back
(`numerics.rate_rounding`); (3) the bias that keeps the mean output.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgepack.backend import joint_walk, session
from edgepack.backend.fitted import Fitted
from edgepack.backend.found import answer
from edgepack.backend.joint_patches import drawn_patches
from edgepack.backend.refit import written
from edgepack.backend.statistics_graph import Reading, opened
from edgepack.backend.statistics_inputs import samples_of
from edgepack.gate.graph import Graph
from edgepack.numerics import layer_statistics
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.obs_sweep import Curvature
from edgepack.numerics.rate_rounding import Per, rounded

Report = Callable[[str, float | None], None]
Layers = Mapping[str, Mapping[str, Any]]
SAMPLES: Final = 512
PATCHES: Final = 16_384
PER_INPUT: Final = 16
"""Patches for each entry of a patch, at least, where the data give them."""


def joint(
    *,
    source: str,
    target: str,
    statistics: str,
    calibration: Mapping[str, Any] | None,
    layers: Layers,
    per: Per,
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Writes `target`: `source` with its kernels refitted and rounded as the plan says.

    Args:
      source: folded candidate.
      statistics: file of `numerics.layer_statistics` of `source`.
      calibration: ``Dataset.to_json()``; None for made-up inputs.
      layers: layer → {role: price of a bit in loss units}; kernels that are not named stay.
      per: how the conversion will scale kernels: "tensor" or "channel".
      seed: of the positions that are drawn, and of made-up inputs.

    Returns:
      See `found.answer`.
    """
    from edgepack.backend import rebuild

    session.seed_everything(seed)
    graph = rebuild.read(Path(source))
    apart, readings, _ = opened(graph)
    work = _Work(
        graph=apart,
        readings={reading.opened.name: reading for reading in readings},
        statistics=layer_statistics.read(Path(statistics)),
        layers=layers,
        per=per,
        seed=seed,
        report=report,
    )
    original, changing = rebuild.build(apart), rebuild.build(apart)
    given = samples_of(original, calibration, SAMPLES, seed)
    count = joint_walk.affordable(original, given.count)
    joint_walk.side_by_side(original, changing, given.rows(0, count), work.visit)
    rebuild.save(rebuild.build(written(graph, work.readings, changing)), Path(target))
    return answer(Path(target), {layer: {"kernels": list(roles)} for layer, roles in layers.items()})


@dataclasses.dataclass(kw_only=True)
class _Work:
    """What is done at each layer."""

    graph: Graph
    readings: Mapping[str, Reading]
    statistics: Mapping[tuple[str, str], LayerStatistics]
    layers: Layers
    per: Per
    seed: int
    report: Report
    done: int = 0

    def visit(self, name: str, layer: Any, before: list[Any], now: list[Any]) -> None:
        """Sets the weights of a layer of the changing model."""
        reading = self.readings.get(name)
        if reading is None:
            return
        price = self.layers.get(reading.layer, {}).get(reading.role)
        seen = self.statistics.get((reading.layer, reading.role))
        if price is None or seen is None:
            return
        self.report(f"refitting and rounding {reading.layer}", self.done / max(1, len(self.readings)))
        self.done += 1
        shared = self.graph.calls_of(name) > 1
        kernel, *bias = layer.get_weights()
        fitted = Fitted.of(seen, kernel) if shared else self._fitted(reading, seen, kernel, before, now)
        chosen = rounded(fitted.weights, Curvature.of(fitted.statistics), float(price), self.per)
        values = [seen.fold(chosen, kernel.shape).astype(np.float32)]
        if bias:
            values.append(fitted.bias(bias[0], chosen).astype(np.float32))
        layer.set_weights(values)

    def _fitted(
        self, reading: Reading, seen: LayerStatistics, kernel: np.ndarray, before: list[Any], now: list[Any]
    ) -> Fitted:
        inputs = seen.mean.shape[1]
        limit = max(PATCHES, PER_INPUT * inputs)
        first, second = drawn_patches(reading, seen.layout, [before, now], limit, self.seed)
        return Fitted.to(seen, kernel, first, second)
