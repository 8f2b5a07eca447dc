"""Factors fitted layer after layer, each to what the original gave from what the factorized layers before it leave.

Asymmetric reconstruction (Zhang et al., "Accelerating very deep convolutional networks", 2015, section 3.3) in the
loss-weighted metric of `numerics.kfac`: at each layer the least-squares weights for the inputs as they now are take the
place of the original's, and the inputs' covariance that of the calibration statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.backend import joint_walk
from edgepack.backend.fitted import Fitted
from edgepack.backend.joint_patches import drawn_patches
from edgepack.backend.kfac_choice import Pick
from edgepack.backend.statistics_graph import Reading, opened
from edgepack.backend.statistics_inputs import samples_of
from edgepack.gate.graph import Graph
from edgepack.numerics import factorize, kfac, kfac_spatial
from edgepack.numerics.layer_statistics import LayerStatistics

Array: TypeAlias = npt.NDArray[Any]
Report = Callable[[str, float | None], None]
SAMPLES: Final = 1024
PATCHES: Final = 32_768
PATCH_BYTES: Final = 64 << 20
"""Of one set of patches; four such sets live at once."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """The factors of one layer and the bias that belongs to them, float32."""

    kernels: tuple[Array, Array]
    bias: Array


def fitted_parts(
    graph: Graph,
    picks: Mapping[str, Pick],
    statistics: Mapping[tuple[str, str], LayerStatistics],
    calibration: Mapping[str, Any] | None,
    seed: int,
    report: Report,
) -> dict[str, Parts]:
    """Factors and biases of the picked layers.

    Args:
      graph: folded, every picked layer with a bias.
      picks: layer → form and rank.
      statistics: of `graph`, by (layer, role).
      calibration: ``Dataset.to_json()``; None for made-up inputs.
      seed: of the positions that are drawn, and of made-up inputs.
    """
    from edgepack.backend import rebuild

    apart, readings, _ = opened(graph)
    original, changing = rebuild.build(apart), rebuild.build(apart)
    work = _Work(
        graph=apart,
        readings={reading.opened.name: reading for reading in readings},
        picks=picks,
        statistics=statistics,
        seed=seed,
        report=report,
    )
    given = samples_of(original, calibration, SAMPLES, seed)
    rows = given.rows(0, joint_walk.affordable(original, given.count))
    joint_walk.side_by_side(original, changing, rows, work.visit)
    return work.parts


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is done at each layer of the walk."""

    graph: Graph
    readings: Mapping[str, Reading]
    picks: Mapping[str, Pick]
    statistics: Mapping[tuple[str, str], LayerStatistics]
    seed: int
    report: Report
    parts: dict[str, Parts] = field(default_factory=dict)

    def visit(self, name: str, layer: Any, before: list[Any], now: list[Any]) -> None:
        reading = self.readings.get(name)
        pick = None if reading is None else self.picks.get(reading.layer)
        if reading is None or pick is None or pick.role != reading.role:
            return
        self.report(f"factorizing {reading.layer}", len(self.parts) / len(self.picks))
        seen = self.statistics[reading.layer, reading.role]
        kernel, bias = layer.get_weights()
        shared = self.graph.calls_of(name) > 1
        fitted = Fitted.of(seen, kernel) if shared else self._fitted(reading, seen, kernel, before, now)
        wanted = seen.fold(fitted.weights, kernel.shape)
        start = kfac.low_rank(pick.form, wanted, fitted.statistics).factors(pick.rank)
        parts = kfac_spatial.refined(pick.form, wanted, start, fitted.statistics)
        chosen = factorize.join(pick.form, *parts).reshape(kernel.shape)
        corrected = fitted.bias(bias, seen.unfold(chosen)).astype(np.float32)
        layer.set_weights([chosen.astype(np.float32), corrected])
        first, second = (part.astype(np.float32) for part in parts)
        self.parts[reading.layer] = Parts(kernels=(first, second), bias=corrected)

    def _fitted(
        self, reading: Reading, seen: LayerStatistics, kernel: Array, before: list[Any], now: list[Any]
    ) -> Fitted:
        limit = min(PATCHES, max(1024, PATCH_BYTES // (4 * reading.inputs)))
        first, second = drawn_patches(reading, seen.layout, [before, now], limit, self.seed)
        return Fitted.to(seen, kernel, first, second)
