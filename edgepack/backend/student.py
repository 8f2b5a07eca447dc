"""A narrower copy of a model: the teacher's most important channels, everywhere but at the inputs and
outputs.

Starting from the teacher's own channels instead of random weights gives a student that already knows
something, which counts where data and epochs are few.

Source: Li et al. (2017), "Pruning filters for efficient ConvNets", section 3.1 (channels ranked by the sum of
the absolute weights of their filters); He et al. (2019), "Bag of tricks", for added branches ranked together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Final

import numpy as np

from edgepack.backend.channel_groups import DEPTHWISE, FIXED, WIDTH_KEYS, ChannelGroups, Row, Shapes
from edgepack.gate.graph import Graph, Layer

GATES: Final[Mapping[str, int]] = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}
Kept = np.ndarray


def narrow(graph: Graph, width: float, shapes: Shapes) -> Graph:
    """The same architecture with about `width` times the channels of every hidden layer.

    Args:
      graph: the teacher, read with weights.
      width: 0 … 1; a layer of n channels keeps max(1, round(width · n)).
      shapes: of every layer's inputs and output.

    Returns:
      A graph with new widths and the weights of the kept channels. Layers whose width is tied to an input, an
      output or an operation that is not understood keep all channels.
    """
    groups = ChannelGroups(graph, shapes)
    kept = _kept(graph, groups, width)
    layers: dict[str, Layer] = {}
    for number, call in enumerate(graph.calls):
        if call.layer in layers:
            continue
        layer = graph.layers[call.layer]
        refs = list(call.refs())
        before = [_indices(groups, kept, groups.rows[ref.call]) for ref in refs]
        after = _indices(groups, kept, groups.rows[number])
        layers[layer.name] = _sliced(layer, before[0] if len(before) == 1 else None, after)
    return dataclasses.replace(graph, layers=layers)


def _kept(graph: Graph, groups: ChannelGroups, width: float) -> dict[int, Kept]:
    """Per group, the channels that stay, ascending."""
    scores: dict[int, np.ndarray] = {}
    for name, opened in groups.opened.items():
        group = groups.find(opened)
        if group == FIXED:
            continue
        score = _importance(graph.layers[name])
        scores[group] = scores.get(group, 0.0) + score / max(float(score.max()), 1e-12)
    kept = {}
    for group, score in scores.items():
        count = max(1, round(width * len(score)))
        kept[group] = np.sort(np.argsort(-score, kind="stable")[:count])
    return kept


def _importance(layer: Layer) -> np.ndarray:
    """Sum of absolute weights by output channel."""
    size = layer.config[WIDTH_KEYS[layer.kind]]
    kernel = layer.weights[1 if layer.kind.startswith("SeparableConv") else 0]
    axis = kernel.ndim - 2 if layer.kind.endswith("Transpose") else kernel.ndim - 1
    moved = np.abs(np.moveaxis(kernel, axis, -1)).reshape(-1, GATES.get(layer.kind, 1), size)
    summed: np.ndarray = moved.sum(axis=(0, 1))
    return summed


def _indices(groups: ChannelGroups, kept: Mapping[int, Kept], row: Row) -> Kept | None:
    """Positions along a tensor's last axis that stay; None for all of them."""
    if all(groups.find(part.group) not in kept for part in row):
        return None
    found, offset = [], 0
    for part in row:
        group = groups.find(part.group)
        channels = kept.get(group, np.arange(part.size))
        spread = (channels[:, None] * part.each + np.arange(part.each)).reshape(-1)
        found.append(spread + offset)
        offset += part.size * part.each
    return np.concatenate(found)


def _sliced(layer: Layer, before: Kept | None, after: Kept | None) -> Layer:
    """A layer that reads the channels `before` and gives the channels `after`."""
    if before is None and after is None:
        return layer
    config = dict(layer.config)
    if layer.kind in WIDTH_KEYS and after is not None:
        config[WIDTH_KEYS[layer.kind]] = len(after)
    weights = tuple(_weights(layer, before, after))
    return dataclasses.replace(layer, config=config, weights=weights)


def _weights(layer: Layer, before: Kept | None, after: Kept | None) -> list[np.ndarray]:
    kind, weights = layer.kind, list(layer.weights)
    if kind in GATES:
        gates = None if after is None else _spread(after, layer.config["units"], GATES[kind])
        kernel, recurrent, *bias = weights
        recurrent = _take(_take(recurrent, after, 0), gates, 1)
        return [
            _take(_take(kernel, before, 0), gates, 1),
            recurrent,
            *(_take(part, gates, -1) for part in bias),
        ]
    if kind == "Embedding":
        return [_take(weights[0], after, 1)]
    if kind.startswith("SeparableConv"):
        multiplier = weights[0].shape[-1]
        inner = None if before is None else (before[:, None] * multiplier + np.arange(multiplier)).reshape(-1)
        depthwise, pointwise, *bias = weights
        pointwise = _take(_take(pointwise, inner, -2), after, -1)
        return [_take(depthwise, before, -2), pointwise, *(_take(part, after, -1) for part in bias)]
    if kind in DEPTHWISE:
        return [_take(weights[0], before, -2), *(_take(part, after, -1) for part in weights[1:])]
    if kind in WIDTH_KEYS:
        reads, gives = (-1, -2) if kind.endswith("Transpose") else (-2, -1)
        kernel = _take(_take(weights[0], before, reads), after, gives)
        return [kernel, *(_take(part, after, -1) for part in weights[1:])]
    return [_take(part, after, -1) for part in weights]  # normalization, PReLU


def _take(array: np.ndarray, indices: Kept | None, axis: int) -> np.ndarray:
    if indices is None or array.shape[axis] == 1:  # PReLU may share its slope
        return array
    return np.take(array, indices, axis=axis)


def _spread(kept: Kept, units: int, gates: int) -> Kept:
    return np.concatenate([kept + gate * units for gate in range(gates)])


def widths(graph: Graph) -> dict[str, int]:
    """Width of every layer that has one."""
    return {
        name: layer.config[WIDTH_KEYS[layer.kind]]
        for name, layer in graph.layers.items()
        if layer.kind in WIDTH_KEYS
    }
