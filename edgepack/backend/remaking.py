"""A model of which parts were silenced, the rest made to do without them; its normalizations stay in place.

Folding first makes every layer's weights those that the statistics belong to; afterwards they are divided by the
normalizations' scales again, because training needs the normalizations: without them its steps would be far too large
for kernels of small scale.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.backend import rebuild
from edgepack.backend.fold import FOLDABLE, affine, fold_graph, foldable
from edgepack.backend.fold_operation import with_biases
from edgepack.backend.refit import Rows, refitted
from edgepack.gate.graph import Graph
from edgepack.numerics import layer_statistics

Silence = Callable[[Graph], tuple[Graph, Rows]]
"""Folded model → the same with parts of it silent, and the rows of kernels that will be cut."""


def remade(
    graph: Graph,
    silence: Silence,
    statistics: str | None,
    calibration: Mapping[str, Any] | None,
    seed: int,
) -> Graph:
    """The model with silent parts, all layers refitted to what is left of their inputs.

    Args:
      graph: with its normalizations.
      silence: what is taken away.
      statistics: file of `numerics.layer_statistics` of the folded model; None refits nothing.
      calibration, seed: see `refit.refitted`.
    """
    folded, normalizations = folded_with_biases(graph)
    silent, gone = silence(folded)
    known = {} if statistics is None else layer_statistics.read(Path(statistics))
    changed = refitted(folded, silent, known, gone, calibration, seed) if known else silent
    return unfolded(graph, folded, changed, normalizations)


def folded_with_biases(graph: Graph) -> tuple[Graph, dict[str, str]]:
    """The model as data-aware methods see it, and layer → normalization that was folded into it."""
    shapes = rebuild.shapes(graph)
    ranks = {call.layer: len(shape[0]) for call, shape in zip(graph.calls, shapes, strict=True)}
    return with_biases(fold_graph(graph, ranks)), foldable(graph, ranks)


def unfolded(graph: Graph, folded: Graph, changed: Graph, normalizations: Mapping[str, str]) -> Graph:
    """The model in which weights were changed where a normalization had been folded into them.

    Args:
      graph: with its normalizations.
      folded: the same without them.
      changed: `folded` with other weights in some layers.
      normalizations: layer → normalization that was folded into it.

    Returns:
      `graph`, computing what `changed` does: kernels divided by the normalization's scale; what was added to a bias is
      taken from the moving mean instead, which is the mean of what the layer then gives.
    """
    layers = dict(graph.layers)
    for name, new in changed.layers.items():
        old = folded.layers[name]
        if all(np.array_equal(one, other) for one, other in zip(new.weights, old.weights, strict=True)):
            continue
        if name not in normalizations:
            layers[name] = new
            continue
        normalization = graph.layers[normalizations[name]]
        scale, _ = affine(normalization)
        share = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
        place = len(new.weights) - 2
        weights = list(graph.layers[name].weights)
        shape = [1] * weights[place].ndim
        for axis in FOLDABLE[new.kind]:
            shape[axis] = weights[place].shape[axis]
        divided = new.weights[place] * share.reshape(shape)
        weights[place] = np.where(scale.reshape(shape) != 0, divided, weights[place]).astype(np.float32)
        *others, mean, variance = normalization.weights
        shift = (new.weights[-1].astype(np.float64) - old.weights[-1]) * share
        mean = (mean - shift).astype(np.float32)
        layers[name] = dataclasses.replace(layers[name], weights=tuple(weights))
        layers[normalization.name] = dataclasses.replace(normalization, weights=(*others, mean, variance))
    return dataclasses.replace(graph, layers=layers)
