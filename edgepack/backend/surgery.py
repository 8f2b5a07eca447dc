"""Replaces layers of a graph by chains of layers, and leaves everything else as it is.

Works on the records of `edgepack.gate.graph`, not on live Keras objects: exact, cheap, and testable without
TensorFlow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from edgepack import errors
from edgepack.gate.graph import Call, Graph, Layer, Ref, map_refs


def replace(graph: Graph, chains: Mapping[str, Sequence[Layer]]) -> Graph:
    """The same model with each call of a layer replaced by calls of its chain, one after the other.

    A shared layer stays shared: each of its calls becomes calls of the same new layers. Inputs and outputs
    keep their names; `rebuild.build` gives an output whose layer is gone a linear Activation of its name,
    since Keras names outputs after layers.

    Args:
      graph: the model; it is not changed.
      chains: layer name → at least one layer with one input and one output, in the order in which they are
        applied. The first one gets all arguments of the call, the others the output of the one before. A
        chain may reuse the name of the layer that it replaces.

    Raises:
      ModelError: a layer that the graph does not have, or a name that is already taken.

    Example:
      >>> first, whole, *parts = (Layer(name=name, kind="", config={}) for name in ("x", "a", "b", "c"))
      >>> calls = (Call(layer="x", kwargs={}), Call(layer="a", args=(Ref(0),), kwargs={}))
      >>> graph = Graph(name="m", generation="keras3", layers={"x": first, "a": whole}, calls=calls,
      ...               inputs=(("x", Ref(0)),), outputs=(("a", Ref(1)),))
      >>> [call.layer for call in replace(graph, {"a": parts}).calls]
      ['x', 'b', 'c']
    """
    _check_names(graph, chains)
    layers = {name: layer for name, layer in graph.layers.items() if name not in chains}
    layers |= {layer.name: layer for chain in chains.values() for layer in chain}
    calls: list[Call] = []
    moved: list[int] = []  # for each old call the number of the new call that gives its output
    for call in graph.calls:
        arguments = {"args": _moved(call.args, moved), "kwargs": _moved(call.kwargs, moved)}
        for layer in chains.get(call.layer, (graph.layers[call.layer],)):
            calls.append(Call(layer=layer.name, **arguments))
            arguments = {"args": (Ref(len(calls) - 1),), "kwargs": {}}
        moved.append(len(calls) - 1)
    inputs, outputs = (
        tuple((name, _moved(ref, moved)) for name, ref in ends) for ends in (graph.inputs, graph.outputs)
    )
    ordered = {call.layer: layers[call.layer] for call in calls}
    return dataclasses.replace(
        graph, layers=ordered, calls=tuple(calls), inputs=inputs, outputs=tuple(outputs)
    )


def _moved(value: Any, moved: Sequence[int]) -> Any:
    return map_refs(value, lambda ref: Ref(moved[ref.call], ref.output))


def _check_names(graph: Graph, chains: Mapping[str, Sequence[Layer]]) -> None:
    for name in chains:
        if name not in graph.layers:
            raise errors.ModelError(
                f'layer "{name}" cannot be replaced: the model "{graph.name}" has no such layer'
            )
    kept = set(graph.layers) - set(chains)
    for name, chain in chains.items():
        for layer in chain:
            if layer.name in kept:
                raise errors.ModelError(
                    f'layer "{name}" cannot be replaced by "{layer.name}": that name is taken; '
                    "rename the other layer"
                )
            kept.add(layer.name)
