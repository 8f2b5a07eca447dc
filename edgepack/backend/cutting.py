"""A model with some of its channels taken out: kernels, biases, normalizations and settings cut alike.

Pure numpy on the records of the gate; which channels belong together comes from `edgepack.gate.couplings`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.gate.coupling_rules import DEPTHWISE, WIDTH_KEYS
from edgepack.gate.couplings import Couplings, Row
from edgepack.gate.graph import Graph, Layer

GATES: Final[Mapping[str, int]] = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}
"""Blocks of units that stand side by side in a recurrent layer's kernels."""
Indices = npt.NDArray[np.int64]
Array = npt.NDArray[Any]


def cut(graph: Graph, couplings: Couplings, kept: Mapping[int, Indices]) -> Graph:
    """The model with only the kept channels; layer, input and output names stay.

    Args:
      graph: the model, read with weights; it is not changed.
      couplings: of this very graph.
      kept: group (as `Couplings.find` gives it) → channels that stay, ascending; other groups stay whole.

    Returns:
      A graph with new widths; what the removed channels gave to the layers that read them is gone.
    """
    layers: dict[str, Layer] = {}
    for number, call in enumerate(graph.calls):
        if call.layer in layers:
            continue
        layer = graph.layers[call.layer]
        rows = [couplings.row(ref) for ref in call.refs()]
        before = indices(couplings, kept, rows[0]) if len(rows) == 1 else None
        after = indices(couplings, kept, couplings.outputs(number)[0])
        layers[layer.name] = _cut(layer, before, after)
    return dataclasses.replace(graph, layers=layers)


def indices(couplings: Couplings, kept: Mapping[int, Indices], row: Row) -> Indices | None:
    """Places along a tensor's last axis that stay; None for all of them."""
    if all(couplings.find(part.group) not in kept for part in row):
        return None
    found, offset = [], 0
    for part in row:
        channels = kept.get(couplings.find(part.group), np.arange(part.size))
        found.append((channels[:, None] * part.each + np.arange(part.each)).reshape(-1) + offset)
        offset += part.width
    return np.concatenate(found)


def widths(graph: Graph) -> dict[str, int]:
    """Width of every layer that has one of its own, by the keys of `Couplings.opened`."""
    found = {}
    for name, layer in graph.layers.items():
        if layer.kind in WIDTH_KEYS:
            found[name] = layer.config[WIDTH_KEYS[layer.kind]]
        elif layer.kind == "TimeDistributed" and (kind := layer.config["layer"]["kind"]) in WIDTH_KEYS:
            found[name] = layer.config["layer"]["config"][WIDTH_KEYS[kind]]
        elif layer.kind == "Bidirectional" and layer.config["layer"]["kind"] in GATES:
            backward = layer.config.get("backward_layer") or layer.config["layer"]
            found[f"{name}/forward"] = layer.config["layer"]["config"]["units"]
            found[f"{name}/backward"] = backward["config"]["units"]
    return found


def _cut(layer: Layer, before: Indices | None, after: Indices | None) -> Layer:
    """A layer that reads the channels `before` and gives the channels `after`."""
    if before is None and after is None:
        return layer
    config, weights = dict(layer.config), list(layer.weights)
    if layer.kind == "TimeDistributed":
        inner = config["layer"]
        inside = dataclasses.replace(layer, kind=inner["kind"], config=inner["config"])
        small = _cut(inside, before, after)
        return dataclasses.replace(
            layer, config={**config, "layer": {**inner, "config": small.config}}, weights=small.weights
        )
    if layer.kind == "Bidirectional":
        return _cut_both_ways(layer, before, after)
    if layer.kind in WIDTH_KEYS and after is not None:
        config[WIDTH_KEYS[layer.kind]] = len(after)
    if layer.kind == "Reshape" and after is not None and config["target_shape"][-1] != -1:
        config["target_shape"] = [*config["target_shape"][:-1], len(after)]
    return dataclasses.replace(layer, config=config, weights=tuple(_weights(layer, weights, before, after)))


def _cut_both_ways(layer: Layer, before: Indices | None, after: Indices | None) -> Layer:
    config = dict(layer.config)
    half = len(layer.weights) // 2
    first, second = config["layer"], config.get("backward_layer") or config["layer"]
    joined = config.get("merge_mode", "concat") == "concat"
    units = first["config"]["units"]
    parts = (after, after)
    if joined and after is not None:
        parts = after[after < units], after[after >= units] - units
    halves = [
        _cut(
            dataclasses.replace(layer, kind=inner["kind"], config=inner["config"], weights=own), before, part
        )
        for inner, own, part in zip(
            (first, second), (layer.weights[:half], layer.weights[half:]), parts, strict=True
        )
    ]
    config["layer"] = {**first, "config": halves[0].config}
    config["backward_layer"] = {**second, "name": _other_name(first, second), "config": halves[1].config}
    if second["config"].get("go_backwards", False) == first["config"].get("go_backwards", False):
        config["backward_layer"]["config"] = {
            **halves[1].config,
            "go_backwards": not first["config"].get("go_backwards", False),
        }
    return dataclasses.replace(layer, config=config, weights=(*halves[0].weights, *halves[1].weights))


def _other_name(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    return f"{second['name']}_backward" if first["name"] == second["name"] else str(second["name"])


def _weights(
    layer: Layer, weights: list[Array], before: Indices | None, after: Indices | None
) -> list[Array]:
    kind = layer.kind
    if kind in GATES:
        gates = None if after is None else _spread(after, layer.config["units"], GATES[kind])
        kernel, recurrent, *bias = weights
        recurrent = take(take(recurrent, after, 0), gates, 1)
        return [take(take(kernel, before, 0), gates, 1), recurrent, *(take(part, gates, -1) for part in bias)]
    if kind == "Embedding":
        return [take(weights[0], after, 1)]
    if kind.startswith("SeparableConv"):
        multiplier = weights[0].shape[-1]
        inner = None if before is None else (before[:, None] * multiplier + np.arange(multiplier)).reshape(-1)
        depthwise, pointwise, *bias = weights
        pointwise = take(take(pointwise, inner, -2), after, -1)
        return [take(depthwise, before, -2), pointwise, *(take(part, after, -1) for part in bias)]
    if kind in DEPTHWISE:
        return [take(weights[0], before, -2), *(take(part, after, -1) for part in weights[1:])]
    if kind in WIDTH_KEYS:
        reads, gives = (-1, -2) if kind.endswith("Transpose") else (-2, -1)
        kernel = take(take(weights[0], before, reads), after, gives)
        return [kernel, *(take(part, after, -1) for part in weights[1:])]
    return [take(part, after, -1) for part in weights]  # normalizations, PReLU


def take(array: Array, places: Indices | None, axis: int) -> Array:
    """`array` with only these places of an axis; all of it where `places` is None or the axis is shared (1 long)."""
    if places is None or array.shape[axis] == 1:  # PReLU may share its slope
        return array
    return np.take(array, places, axis=axis)


def _spread(kept: Indices, units: int, gates: int) -> Indices:
    return np.concatenate([kept + gate * units for gate in range(gates)])


def silence(graph: Graph, couplings: Couplings, kept: Mapping[int, Indices]) -> Graph:
    """The model at full width in which the channels that do not stay are zero: what `cut` leaves, before it cuts.

    Args:
      graph, couplings, kept: as for `cut`.

    Returns:
      A graph with zeros in place of the outgoing weights and biases of those channels; activations that keep zero keep
      them silent.
    """
    layers = dict(graph.layers)
    for number, call in enumerate(graph.calls):
        layer, row = layers[call.layer], couplings.outputs(number)[0]
        stay = indices(couplings, kept, row)
        if stay is None or not layer.weights:
            continue
        gone = np.setdiff1d(np.arange(sum(part.width for part in row)), stay)
        layers[layer.name] = dataclasses.replace(layer, weights=_silent(layer, gone))
    return dataclasses.replace(graph, layers=layers)


def _silent(layer: Layer, gone: Indices) -> tuple[Array, ...]:
    """Weights of a layer whose output channels `gone` are zero."""
    if layer.kind == "TimeDistributed":
        inner = layer.config["layer"]
        return _silent(dataclasses.replace(layer, kind=inner["kind"], config=inner["config"]), gone)
    if layer.kind == "Bidirectional":
        half, units = len(layer.weights) // 2, layer.config["layer"]["config"]["units"]
        joined = layer.config.get("merge_mode", "concat") == "concat"
        parts = (gone[gone < units], gone[gone >= units] - units) if joined else (gone, gone)
        found: list[Array] = []
        for part, weights in zip(parts, (layer.weights[:half], layer.weights[half:]), strict=True):
            inner = layer.config["layer"]
            one = dataclasses.replace(layer, kind=inner["kind"], config=inner["config"], weights=weights)
            found += _silent(one, part)
        return tuple(found)
    places = _spread(gone, layer.config["units"], GATES[layer.kind]) if layer.kind in GATES else gone
    first = 1 if layer.kind.startswith("SeparableConv") else 0
    return tuple(
        _zeroed(weight, places, _output_axis(layer, number)) if number >= first else weight
        for number, weight in enumerate(layer.weights)
    )


def _output_axis(layer: Layer, number: int) -> int:
    return -2 if number == 0 and (layer.kind.endswith("Transpose") or layer.kind in DEPTHWISE) else -1


def _zeroed(weight: Array, places: Indices, axis: int) -> Array:
    if weight.shape[axis] <= (places.max() if len(places) else -1):  # shared along the axis, or a multiplier
        return weight
    changed = np.moveaxis(weight.copy(), axis, 0)
    changed[places] = 0
    return np.moveaxis(changed, 0, axis)
