"""The scale and shift that end a normalisation, folded into the kernels that read them.

The TFLite converter multiplies the γ (and adds the β) of a LayerNormalization or BatchNormalization into the
FullyConnected behind it, over the kernel's input axis, even where others read the normalisation too. A kernel whose
channels share 16 values then has as many values as inputs. Folded before the values are shared, nothing is left to
merge, and the model computes the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.backend.fold import affine, without_calls
from edgepack.backend.scale_readers import Readers, joined, readers, scaled
from edgepack.gate.graph import Call, Graph, Layer, Ref, map_refs
from edgepack.records import Json

Array = npt.NDArray[Any]
Note = dict[str, Json]
Promises = Mapping[str, Mapping[str, Any]]

FUSED_EPSILON: Final = 1.001e-5
"""Below it tf_keras multiplies γ into 1/σ, which is no constant: the converter has nothing to merge."""
NORMALIZATIONS: Final = ("LayerNormalization", "BatchNormalization")
_HELD: Final = "its scale stays: a layer behind it shares its values already; the converter may merge the two"


def fold_scales(model: Any, clustered: Promises, keep: Promises) -> tuple[Any, list[Note]]:
    """A new model without scales that the converter would merge into the kernels of `clustered`; and notes.

    Args:
      model: a model of `rebuild.build`; it is not changed.
      clustered: layers whose values are about to be shared, by name.
      keep: promises of earlier steps; kernels that share their values already are not scaled.
    """
    from edgepack.backend import rebuild

    kinds = {type(layer).__name__ for layer in model.layers}
    if not kinds.intersection(NORMALIZATIONS):
        return model, []
    ranks = {layer.name: layer.output.shape.rank for layer in model.layers if hasattr(layer.output, "shape")}
    graph, notes = fold_graph(rebuild.graph_of(model), ranks, clustered, keep)
    changed = any(note["reason"] != _HELD for note in notes)
    return (rebuild.build(graph) if changed else model), notes


def fold_graph(
    graph: Graph, ranks: Mapping[str, int], clustered: Promises, keep: Promises
) -> tuple[Graph, list[Note]]:
    """`fold_scales` on the records; `ranks` of the layers' outputs, batch axis included."""
    notes: list[Note] = []
    for layer in list(graph.layers.values()):
        if not _plain(layer, graph, ranks):
            continue
        number = next(n for n, call in enumerate(graph.calls) if call.layer == layer.name)
        branches = {consumer: readers(graph, number, consumer) for consumer in graph.consumers(number)}
        found = {consumer: branch for consumer, branch in branches.items() if branch is not None}
        taking: Readers = {}
        for branch in found.values():
            taking = joined(taking, branch)
        if not any(name in clustered for name in taking):
            continue
        if any(keep.get(name, {}).get("clusters") for name in taking):
            notes.append({"layer": layer.name, "action": "note", "reason": _HELD})
            continue
        graph = _folded(graph, number, frozenset(found), taking, alone=len(found) == len(branches))
        names = ", ".join(repr(name) for name in sorted(taking))
        reason = f"its scale and shift went into {names} first: the converter would multiply them into shared values"
        notes.append({"layer": layer.name, "action": "note", "reason": reason})
    return graph, notes


def _plain(layer: Layer, graph: Graph, ranks: Mapping[str, int]) -> bool:
    """Whether it is a normalisation of the last axis, called once, with a constant scale to fold."""
    if layer.kind not in NORMALIZATIONS or graph.calls_of(layer.name) != 1:
        return False
    if layer.kind == "LayerNormalization" and layer.config.get("epsilon", 1e-3) < FUSED_EPSILON:
        return False
    (call,) = (call for call in graph.calls if call.layer == layer.name)
    axis = layer.config.get("axis", -1)
    axes = [axis] if isinstance(axis, int) else list(axis)
    last = axes == [-1] or axes == [ranks.get(layer.name, 0) - 1]
    return bool(last and layer.weights and len(call.args) == 1 and isinstance(call.args[0], Ref))


def _folded(graph: Graph, number: int, consumers: frozenset[int], taking: Readers, *, alone: bool) -> Graph:
    """The readers `taking`, behind the calls `consumers`, take the scale; `alone`: no other reader needs it."""
    norm = graph.layers[graph.calls[number].layer]
    scale, shift = affine(norm) if norm.kind == "BatchNormalization" else _gamma_beta(norm)
    layers = dict(graph.layers)
    for name, roles in taking.items():
        layers[name] = scaled(layers[name], roles, scale, shift)
    graph = dataclasses.replace(graph, layers=layers)
    alone = alone and not any(ref.call == number for _, ref in graph.outputs)
    if norm.kind == "BatchNormalization":
        source = graph.calls[number].args[0]
        graph = _rewired(graph, number, consumers, source)
        return without_calls(graph, {number: source.call}) if alone else graph
    bare = dataclasses.replace(norm, weights=(), config={**norm.config, "scale": False, "center": False})
    if alone:
        return dataclasses.replace(graph, layers={**graph.layers, norm.name: bare})
    return _with_copy(graph, number, consumers, bare)


def _gamma_beta(norm: Layer) -> tuple[Array, Array]:
    weights = [np.asarray(weight, np.float64) for weight in norm.weights]
    scale = weights[0] if norm.config.get("scale", True) else np.ones_like(weights[0])
    shift = weights[-1] if norm.config.get("center", True) else np.zeros_like(weights[0])
    return scale, shift


def _rewired(graph: Graph, number: int, consumers: frozenset[int], source: Ref) -> Graph:
    """The calls `consumers` read `source` in place of call `number`."""
    calls = list(graph.calls)
    for consumer in consumers:
        calls[consumer] = _mapped(calls[consumer], {number: source.call}, source.output)
    return dataclasses.replace(graph, calls=tuple(calls))


def _with_copy(graph: Graph, number: int, consumers: frozenset[int], bare: Layer) -> Graph:
    """The graph with `bare` called beside call `number`, for the calls `consumers`."""
    name = f"{bare.name}_bare"
    while name in graph.layers:
        name += "_"
    behind = {old: old + 1 for old in range(number + 1, len(graph.calls))}
    calls: list[Call] = []
    for old, call in enumerate(graph.calls):
        calls.append(_mapped(call, behind | ({number: number + 1} if old in consumers else {})))
        if old == number:
            calls.append(dataclasses.replace(call, layer=name))
    inputs, outputs = (
        map_refs(ends, lambda ref: _moved(ref, behind)) for ends in (graph.inputs, graph.outputs)
    )
    layers = {**graph.layers, name: dataclasses.replace(bare, name=name)}
    ordered = {call.layer: layers[call.layer] for call in calls}
    return dataclasses.replace(graph, layers=ordered, calls=tuple(calls), inputs=inputs, outputs=outputs)


def _mapped(call: Call, moved: Mapping[int, int], output: int | None = None) -> Call:
    def move(ref: Ref) -> Ref:
        return _moved(ref, moved, output)

    return dataclasses.replace(call, args=map_refs(call.args, move), kwargs=map_refs(call.kwargs, move))


def _moved(ref: Ref, moved: Mapping[int, int], output: int | None = None) -> Ref:
    if ref.call not in moved:
        return ref
    return Ref(moved[ref.call], ref.output if output is None else output)
