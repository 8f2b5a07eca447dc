"""Channels that can be taken out of a model without changing what it computes.

A channel goes where every layer that reads it either sees a constant that can be folded into its bias, or gives it no
weight at all. Beyond the border of a padded convolution a constant is not there: such a channel stays unless it is zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.backend.cutting import Indices, cut
from edgepack.gate.couplings import FIXED, CallShapes, Couplings
from edgepack.gate.graph import Graph, Layer
from edgepack.gate.readers import RECURRENT, Reader, inner, readers
from edgepack.gate.value_bounds import Bounds, bounds, pads

Array = npt.NDArray[Any]
Flags = npt.NDArray[np.bool_]
LEFT_OUT: Final = "left out by `layers`"
"""Reason of a layer that keeps its width, but may read fewer channels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cleaned:
    """A model without its dead channels.

    Attributes:
      graph: the model.
      removed: key of `Couplings.opened` → how many channels went.
      kept: layer → why channels of it that are constant stay.
    """

    graph: Graph
    removed: dict[str, int]
    kept: dict[str, str]


def clean(graph: Graph, shapes: CallShapes, frozen: Mapping[str, str]) -> Cleaned:
    """Takes out every dead channel that can be taken out exactly, once.

    Taking some out can make others dead: call it again until nothing is removed.

    Args:
      graph: the model, with weights.
      shapes: of every call's outputs.
      frozen: layer → why its channels (and those that it reads) must stay.
    """
    couplings = Couplings(graph, shapes)
    freeze(graph, couplings, frozen)
    values = bounds(graph, shapes)
    dead, kept = _dead(graph, couplings, values)
    for key, group in couplings.opened.items():
        if couplings.find(group) == FIXED and (count := _constants(graph, values, key)):
            kept.setdefault(
                key.partition("/")[0], f"{count} constant channels stay: {couplings.reason(group)}"
            )
    folded = _folded(graph, couplings, values, dead)
    stay = {group: np.flatnonzero(~flags) for group, flags in dead.items()}
    removed = {
        key: int(dead[root].sum())
        for key, group in couplings.opened.items()
        if (root := couplings.find(group)) in dead
    }
    return Cleaned(graph=cut(folded, couplings, stay), removed=removed, kept=kept)


def freeze(graph: Graph, couplings: Couplings, frozen: Mapping[str, str]) -> None:
    """Fixes what the given layers read and give, with the reason; of those left out only what they give."""
    for number, call in enumerate(graph.calls):
        reason = frozen.get(call.layer)
        if reason is None:
            continue
        for row in couplings.outputs(number):
            couplings.fix(row, reason)
        if reason != LEFT_OUT:
            for ref in call.refs():
                couplings.fix(couplings.row(ref), reason)


def _dead(
    graph: Graph, couplings: Couplings, values: list[Bounds]
) -> tuple[dict[int, Flags], dict[str, str]]:
    """Per group the channels that every reader can do without; per layer why constants stay."""
    dead: dict[int, Flags] = {}
    constant: dict[int, Flags] = {}
    why: dict[int, str] = {}
    for reader in readers(graph, couplings):
        layer, given = graph.layers[reader.layer], values[reader.source[0]]
        for group, places in reader.places.items():
            fixed = given.constant[places].all(axis=1)
            zero = fixed & (given.high[places] == 0).all(axis=1)
            reason = _why_not_folded(layer)
            unread = _unread(layer)[places].all(axis=1)
            free = zero | unread | (fixed if reason is None else np.zeros_like(fixed))
            dead[group] = dead.get(group, np.ones(len(free), bool)) & free
            constant[group] = constant.get(group, np.ones(len(free), bool)) & fixed
            if reason is not None and (fixed & ~free).any():
                why.setdefault(group, reason)
    owners = {couplings.find(group): key.partition("/")[0] for key, group in couplings.opened.items()}
    for key, group in couplings.opened.items():
        # A recurrent layer reads its own units as well.
        layer, root = graph.layers[key.partition("/")[0]], couplings.find(group)
        if root in dead and inner(layer)[0] in RECURRENT:
            dead[root] &= constant[root] & _zero_of(values, graph, layer.name, key)
    kept = {
        owners[group]: f"{int((constant[group] & ~flags).sum())} constant channels stay: {why[group]}"
        for group, flags in dead.items()
        if group in why and (constant[group] & ~flags).any()
    }
    for flags in dead.values():
        flags[0] &= not flags.all()  # a layer needs one channel at least
    return {group: flags for group, flags in dead.items() if flags.any()}, kept


def _zero_of(values: list[Bounds], graph: Graph, name: str, key: str) -> Flags:
    """Units of a recurrent layer that are silent."""
    number = next(number for number, call in enumerate(graph.calls) if call.layer == name)
    layer, found = graph.layers[name], values[number]
    silent = found.constant & (found.high == 0)
    if layer.kind != "Bidirectional" or layer.config.get("merge_mode", "concat") != "concat":
        return np.asarray(silent)
    units = int(layer.config["layer"]["config"]["units"])
    return np.asarray(silent[units:] if key.endswith("/backward") else silent[:units])


def _constants(graph: Graph, values: list[Bounds], key: str) -> int:
    """How many channels that a layer gives are constant."""
    name = key.partition("/")[0]
    number = next(number for number, call in enumerate(graph.calls) if call.layer == name)
    return int(values[number].constant.sum())


def _why_not_folded(layer: Layer) -> str | None:
    """Why a layer's bias cannot take up a constant of its input; None where it can."""
    kind, config = inner(layer)
    if kind.endswith("Transpose"):
        return f'at the borders of layer "{layer.name}" ({kind}) not every tap meets its input'
    if kind in RECURRENT or layer.kind == "Bidirectional":
        return f'layer "{layer.name}" ({kind}) may skip steps, so a constant cannot move into its bias'
    if pads(dataclasses.replace(layer, kind=kind, config=config)):
        return f'layer "{layer.name}" pads with zeros, which a bias cannot'
    return None


def _unread(layer: Layer) -> Flags:
    """Input channels to which a layer gives no weight; [inputs]."""
    kind, _ = inner(layer)
    if layer.kind == "Bidirectional":
        half = len(layer.weights) // 2
        return np.asarray((layer.weights[0] == 0).all(axis=1) & (layer.weights[half] == 0).all(axis=1))
    kernel = layer.weights[0]
    if kind.startswith("SeparableConv"):
        depthwise, pointwise = layer.weights[0], layer.weights[1]
        silent = (depthwise == 0).all(axis=tuple(range(depthwise.ndim - 2))).reshape(-1)
        ignored = (pointwise == 0).reshape(-1, pointwise.shape[-1]).all(axis=1)
        return np.asarray((silent | ignored).reshape(-1, depthwise.shape[-1]).all(axis=1))
    axis = kernel.ndim - (1 if kind.endswith("Transpose") else 2)
    others = tuple(place for place in range(kernel.ndim) if place != axis)
    return np.asarray((kernel == 0).all(axis=others))


def _folded(graph: Graph, couplings: Couplings, values: list[Bounds], dead: Mapping[int, Flags]) -> Graph:
    """The model with the constants of the dead channels in the biases of what reads them."""
    layers = dict(graph.layers)
    for reader in readers(graph, couplings):
        found = values[reader.source[0]]
        constant = np.where(found.constant, np.where(np.isfinite(found.low), found.low, 0.0), 0.0)
        going = np.zeros(len(constant))
        for places in _going(reader, dead):
            going[places] = constant[places]
        if going.any():
            layers[reader.layer] = _with_constants(layers[reader.layer], going)
    return dataclasses.replace(graph, layers=layers)


def _going(reader: Reader, dead: Mapping[int, Flags]) -> Iterator[Indices]:
    for group, places in reader.places.items():
        if group in dead:
            yield places[dead[group]].reshape(-1)


def _with_constants(layer: Layer, constants: Array) -> Layer:
    """The layer with what constant inputs [inputs] give it added to its bias; they are zero elsewhere."""
    kind, config = inner(layer)
    kernel = layer.weights[0].astype(np.float64)
    taps = kernel.reshape(-1, *kernel.shape[-2:]).sum(axis=0)
    if kind.startswith("SeparableConv"):
        pointwise = layer.weights[1].astype(np.float64)
        between = (taps * constants[:, None]).reshape(-1)
        shift = between @ pointwise.reshape(-1, pointwise.shape[-1])
    else:
        shift = constants @ taps
    if not shift.any():
        return layer
    weights = list(layer.weights)
    if config.get("use_bias", True):
        weights[-1] = (weights[-1].astype(np.float64) + shift).astype(np.float32)
    else:
        weights.append(shift.astype(np.float32))
    settings = {**config, "use_bias": True}
    if layer.kind == "TimeDistributed":
        settings = {**layer.config, "layer": {**layer.config["layer"], "config": settings}}
    return dataclasses.replace(layer, config=settings, weights=tuple(weights))
