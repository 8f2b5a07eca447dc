"""Operation `fold`: the candidate that data-aware methods act on, without foldable normalisations, with biases."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.backend.fold import FOLDABLE, fold_graph
from edgepack.gate.graph import Graph, Layer

Report = Callable[[str, float | None], None]


def fold(*, source: str, target: str, report: Report) -> dict[str, Any]:
    """Writes `target`: the same outputs as `source`, every foldable BatchNormalization folded, every bias there.

    A bias is what makes up for a change of the weights (`second_order.corrected_bias`), so layers without one get
    zeros. Layer names stay.

    Returns:
      {"folded": names of the normalisations that are gone, "biases": names of the layers that gained a bias}.
    """
    from edgepack.backend import rebuild

    report("folding BatchNormalization", 0.0)
    before = rebuild.read(Path(source))
    live = rebuild.build(before)
    ranks = {layer.name: layer.output.shape.rank for layer in live.layers if hasattr(layer.output, "shape")}
    after = fold_graph(before, ranks)
    gained = [layer.name for layer in after.layers.values() if _lacks_bias(layer)]
    rebuild.save(rebuild.build(with_biases(after)), Path(target))
    return {"folded": [name for name in before.layers if name not in after.layers], "biases": gained}


def with_biases(graph: Graph) -> Graph:
    """The graph with a bias of zeros in every Dense and convolution that has none.

    Example:
      >>> layer = Layer(name="d", kind="Dense", config={"units": 3, "use_bias": False}, weights=(np.ones((2, 3)),))
      >>> [part.shape for part in with_bias(layer).weights]
      [(2, 3), (3,)]
    """
    layers = {name: with_bias(layer) if _lacks_bias(layer) else layer for name, layer in graph.layers.items()}
    return dataclasses.replace(graph, layers=layers)


def with_bias(layer: Layer) -> Layer:
    """A layer of `FOLDABLE` with a bias of zeros added."""
    kernel, channels = layer.weights[-1], 1
    for axis in FOLDABLE[layer.kind]:
        channels *= kernel.shape[axis]
    weights = (*layer.weights, np.zeros(channels, np.float32))
    return dataclasses.replace(layer, weights=weights, config={**layer.config, "use_bias": True})


def _lacks_bias(layer: Layer) -> bool:
    return layer.kind in FOLDABLE and bool(layer.weights) and not layer.config.get("use_bias", True)
