"""Layers refitted one after the other to give what the original gave, from what is left of their inputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.backend import joint_walk, rebuild
from edgepack.backend.fitted import Fitted
from edgepack.backend.joint_patches import drawn_patches
from edgepack.backend.statistics_graph import Reading, opened
from edgepack.backend.statistics_inputs import samples_of
from edgepack.gate.facts import kernels
from edgepack.gate.graph import Graph
from edgepack.numerics.channel_pruning import without_inputs
from edgepack.numerics.layer_statistics import LayerStatistics

SAMPLES: Final = 512
PATCHES: Final = 16_384
PER_INPUT: Final = 16
"""Patches for each entry of a patch, at least, where the data give them."""
Statistics = Mapping[tuple[str, str], LayerStatistics]
Rows = Mapping[tuple[str, str], npt.NDArray[np.int64]]


def refitted(
    original: Graph,
    changing: Graph,
    statistics: Statistics,
    gone: Rows,
    calibration: Mapping[str, Any] | None,
    seed: int,
) -> Graph:
    """`changing` with kernels and biases that come as near as possible to what `original` gives.

    Args:
      original, changing: of one architecture; parts of the second are silent.
      statistics: of `original`, by (layer, role).
      gone: (layer, role) → rows of the kernel's matrix that will be cut; they are zero afterwards.
      calibration: ``Dataset.to_json()``; None for made-up inputs.
      seed: of the positions that are drawn, and of made-up inputs.
    """
    before, readings, _ = opened(original)
    after, _, _ = opened(changing)
    by_name = {reading.opened.name: reading for reading in readings}
    first, second = rebuild.build(before), rebuild.build(after)
    given = samples_of(first, calibration, SAMPLES, seed)

    def visit(name: str, layer: Any, was: list[Any], now: list[Any]) -> None:
        reading = by_name.get(name)
        key = ("", "") if reading is None else (reading.layer, reading.role)
        weights = layer.get_weights()
        if reading is None or key not in statistics or len(weights) < 2 or original.calls_of(key[0]) > 1:
            return
        weights = _fitted(reading, statistics[key], weights, (was, now), gone.get(key), seed)
        layer.set_weights([weight.astype(np.float32) for weight in weights])

    rows = given.rows(0, joint_walk.affordable(first, given.count))
    joint_walk.side_by_side(first, second, rows, visit)
    return written(changing, by_name, second)


def _fitted(
    reading: Reading,
    seen: LayerStatistics,
    weights: list[npt.NDArray[Any]],
    inputs: tuple[list[Any], list[Any]],
    gone: npt.NDArray[np.int64] | None,
    seed: int,
) -> list[npt.NDArray[Any]]:
    kernel, bias = weights
    limit = max(PATCHES, PER_INPUT * seen.mean.shape[1])
    was, now = drawn_patches(reading, seen.layout, inputs, limit, seed)
    if gone is None and np.array_equal(was, now):
        return weights
    start = seen.unfold(kernel)
    if gone is not None and len(gone) and seen.layout == "whole":
        start = without_inputs(start[0], seen.covariance[0], gone)[None]
    fitted = Fitted.to(seen, kernel, was, now, start)
    chosen = seen.fold(fitted.weights, kernel.shape)
    if gone is not None and len(gone):
        matrix = chosen.reshape(-1, kernel.shape[-1]).copy()
        matrix[gone] = 0.0
        chosen = matrix.reshape(kernel.shape)
    return [chosen, fitted.bias(bias, seen.unfold(chosen))]


def written(graph: Graph, readings: Mapping[str, Reading], changed: Any) -> Graph:
    """The graph with the weights of the opened model in the places where they came from."""
    layers = dict(graph.layers)
    for name, reading in readings.items():
        layer = layers[reading.layer]
        index = next(kernel.index for kernel in kernels(layer) if kernel.role == reading.role)
        kernel, *bias = changed.get_layer(name).get_weights()
        weights = list(layer.weights)
        weights[index] = kernel.reshape(weights[index].shape)
        if bias:
            weights[-1] = bias[0]
        layers[reading.layer] = dataclasses.replace(layer, weights=tuple(weights))
    return dataclasses.replace(graph, layers=layers)
