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
from edgepack.backend.found import answer
from edgepack.backend.joint_patches import drawn_patches
from edgepack.backend.statistics_graph import Reading, opened
from edgepack.backend.statistics_inputs import samples_of
from edgepack.gate.facts import kernels
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
RIDGE: Final = 0.02
"""How much the refit is held to the weights as they were, as a share of the mean variance."""


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
    rebuild.save(rebuild.build(_written(graph, work.readings, changing)), Path(target))
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
        fitted = _Fitted.of(seen, kernel) if shared else self._fitted(reading, seen, kernel, before, now)
        chosen = rounded(fitted.weights, Curvature.of(fitted.statistics), float(price), self.per)
        values = [seen.fold(chosen, kernel.shape).astype(np.float32)]
        if bias:
            values.append(fitted.bias(bias[0], chosen).astype(np.float32))
        layer.set_weights(values)

    def _fitted(
        self, reading: Reading, seen: LayerStatistics, kernel: np.ndarray, before: list[Any], now: list[Any]
    ) -> _Fitted:
        inputs = seen.mean.shape[1]
        limit = max(PATCHES, PER_INPUT * inputs)
        first, second = drawn_patches(reading, seen.layout, [before, now], limit, self.seed)
        return _Fitted.to(seen, kernel, first, second)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Fitted:
    """The weights [g, d, n] to be rounded, the moments of what they read now, and the mean output to be kept."""

    weights: np.ndarray
    statistics: LayerStatistics
    mean_output: np.ndarray

    @classmethod
    def of(cls, seen: LayerStatistics, kernel: np.ndarray) -> _Fitted:
        """The weights as they are."""
        weights = seen.unfold(kernel)
        return cls(weights=weights, statistics=seen, mean_output=np.einsum("gdn,gd->gn", weights, seen.mean))

    @classmethod
    def to(cls, seen: LayerStatistics, kernel: np.ndarray, before: np.ndarray, now: np.ndarray) -> _Fitted:
        """Least squares of the original's outputs on the inputs as they are now.

        Args:
          before, now: [g, patches, d], the same positions in the original and in the changing model.
        """
        weights = seen.unfold(kernel)
        count, inputs = now.shape[1], now.shape[2]
        mean_before, mean = before.mean(axis=1, dtype=np.float64), now.mean(axis=1, dtype=np.float64)
        centred = now - mean[:, None].astype(np.float32)
        # Few patches say little about many inputs: the statistics of all samples stand beside them.
        trust = 1.0 / (1.0 + 2.0 * inputs / count)
        measured = (centred.transpose(0, 2, 1) @ centred).astype(np.float64) / count
        covariance = trust * measured + (1.0 - trust) * seen.covariance
        mean_output = np.einsum("gdn,gd->gn", weights, mean_before)
        moved = dataclasses.replace(seen, mean=mean, covariance=covariance)
        if seen.layout == "blocks" or before is now or np.array_equal(before, now):
            return cls(weights=weights, statistics=moved, mean_output=mean_output)
        drift = (before - now) - (mean_before - mean)[:, None].astype(np.float32)
        missing = centred.transpose(0, 2, 1) @ (drift @ weights.astype(np.float32)) / count
        solid = covariance.copy()
        diagonal = np.arange(inputs)
        variance = solid[:, diagonal, diagonal].mean(axis=1, keepdims=True)
        solid[:, diagonal, diagonal] += RIDGE * variance + 1e-12
        refitted = weights + trust * np.linalg.solve(solid, missing.astype(np.float64))
        return cls(weights=refitted, statistics=moved, mean_output=mean_output)

    def bias(self, bias: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        """The bias with which the mean output stays what it was."""
        lost = self.mean_output - np.einsum("gdn,gd->gn", chosen, self.statistics.mean)
        corrected: np.ndarray = bias.astype(np.float64) + lost.reshape(-1, bias.size).sum(axis=0)
        return corrected


def _written(graph: Graph, readings: Mapping[str, Reading], changing: Any) -> Graph:
    """The graph with the weights of the opened model in the places where they came from."""
    layers = dict(graph.layers)
    for name, reading in readings.items():
        layer = layers[reading.layer]
        index = next(kernel.index for kernel in kernels(layer) if kernel.role == reading.role)
        kernel, *bias = changing.get_layer(name).get_weights()
        weights = list(layer.weights)
        weights[index] = kernel.reshape(weights[index].shape)
        if bias:
            weights[-1] = bias[0]
        layers[reading.layer] = dataclasses.replace(layer, weights=tuple(weights))
    return dataclasses.replace(graph, layers=layers)
