"""A narrower copy of a model: the teacher's most important channels, everywhere but at the inputs and
outputs.

Starting from the teacher's own channels instead of random weights gives a student that already knows
something, which counts where data and epochs are few.

Source: Li et al. (2017), "Pruning filters for efficient ConvNets", section 3.1 (channels ranked by the sum of
the absolute weights of their filters); He et al. (2019), "Bag of tricks", for added branches ranked together.
"""

from __future__ import annotations

import numpy as np

from edgepack.backend.cutting import GATES, Indices, cut
from edgepack.gate.coupling_rules import WIDTH_KEYS
from edgepack.gate.couplings import FIXED, CallShapes, Couplings
from edgepack.gate.graph import Graph, Layer


def narrow(graph: Graph, width: float, shapes: CallShapes) -> Graph:
    """The same architecture with about `width` times the channels of every hidden layer.

    Args:
      graph: the teacher, read with weights.
      width: 0 … 1; a layer of n channels keeps max(1, round(width · n)).
      shapes: of every call's outputs.

    Returns:
      A graph with new widths and the weights of the kept channels. Layers whose width is tied to an input, an
      output or an operation that is not understood keep all channels.
    """
    couplings = Couplings(graph, shapes)
    return cut(graph, couplings, _kept(graph, couplings, width))


def _kept(graph: Graph, couplings: Couplings, width: float) -> dict[int, Indices]:
    """Per group, the channels that stay, ascending."""
    scores: dict[int, np.ndarray] = {}
    for key, opened in couplings.opened.items():
        group = couplings.find(opened)
        if group == FIXED:
            continue
        score = magnitudes(graph.layers[key.partition("/")[0]], key)
        scores[group] = scores.get(group, 0.0) + score / max(float(score.max()), 1e-12)
    kept = {}
    for group, score in scores.items():
        count = max(1, round(width * len(score)))
        kept[group] = np.sort(np.argsort(-score, kind="stable")[:count])
    return kept


def magnitudes(layer: Layer, key: str) -> np.ndarray:
    """Sum of absolute incoming weights by channel, float64, of the group that a layer opens under `key`."""
    kind, config, weights = layer.kind, layer.config, layer.weights
    if kind == "TimeDistributed":
        kind, config = config["layer"]["kind"], config["layer"]["config"]
    elif kind == "Bidirectional":
        half = len(weights) // 2
        backward = key.endswith("/backward")
        inner = (config.get("backward_layer") if backward else None) or config["layer"]
        kind, config, weights = inner["kind"], inner["config"], weights[half:] if backward else weights[:half]
    size = config[WIDTH_KEYS[kind]]
    kernel = weights[1 if kind.startswith("SeparableConv") else 0]
    axis = kernel.ndim - 2 if kind.endswith("Transpose") else kernel.ndim - 1
    moved = np.abs(np.moveaxis(kernel, axis, -1).astype(np.float64)).reshape(-1, GATES.get(kind, 1), size)
    summed: np.ndarray = moved.sum(axis=(0, 1))
    return summed
