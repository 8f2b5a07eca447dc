"""The facts of each weighted layer, taken from a graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgepack.facts import Kernel, LayerFacts
from edgepack.gate.graph import Graph, Layer


def layer_facts(graph: Graph) -> tuple[LayerFacts, ...]:
    """Facts of every layer that has weights, in graph order; the graph must be read with weights."""
    feeds: dict[str, dict[str, None]] = {name: {} for name in graph.layers}
    for call in graph.calls:
        for ref in call.refs():
            feeds[graph.calls[ref.call].layer][call.layer] = None
    return tuple(
        LayerFacts(
            name=layer.name,
            kind=layer.kind,
            kernels=kernels(layer),
            parameters=sum(weight.size for weight in layer.weights),
            shared=graph.calls_of(layer.name),
            config=layer.config,
            feeds=tuple(feeds[layer.name]),
        )
        for layer in graph.layers.values()
        if layer.weights
    )


_DENSE = (("kernel", 0, (1,)),)
_RECURRENT = (("kernel", 0, (1,)), ("recurrent", 1, (1,)))
_ROLES: dict[str, tuple[tuple[str, int, tuple[int, ...]], ...]] = {
    "Dense": _DENSE,
    "Conv1D": (("kernel", 0, (2,)),),
    "Conv2D": (("kernel", 0, (3,)),),
    "Conv3D": (("kernel", 0, (4,)),),
    "Conv1DTranspose": (("kernel", 0, (1,)),),
    "Conv2DTranspose": (("kernel", 0, (2,)),),
    "Conv3DTranspose": (("kernel", 0, (3,)),),
    "DepthwiseConv1D": (("depthwise", 0, (1, 2)),),
    "DepthwiseConv2D": (("depthwise", 0, (2, 3)),),
    "SeparableConv1D": (("depthwise", 0, (1, 2)), ("pointwise", 1, (2,))),
    "SeparableConv2D": (("depthwise", 0, (2, 3)), ("pointwise", 1, (3,))),
    "Embedding": (("embedding", 0, ()),),
    "LSTM": _RECURRENT,
    "GRU": _RECURRENT,
    "SimpleRNN": _RECURRENT,
}
_ATTENTION = (("query", (1, 2)), ("key", (1, 2)), ("value", (1, 2)), ("output", (2,)))


def kernels(layer: Layer) -> tuple[Kernel, ...]:
    """The weight arrays of a layer that stages can act on; () for kinds that have none."""
    return tuple(
        Kernel(
            role=role,
            shape=layer.weights[index].shape,
            index=index,
            channel_axes=axes,
            weights=layer.weights[index],
        )
        for role, index, axes in _roles(layer.kind, layer.config, len(layer.weights))
        if index < len(layer.weights)
    )


def _roles(kind: str, config: Mapping[str, Any], count: int) -> tuple[tuple[str, int, tuple[int, ...]], ...]:
    """Role, index and channel axes of each kernel of a layer with `count` weights."""
    if kind == "MultiHeadAttention":
        step = 2 if config.get("use_bias", True) else 1
        return tuple((role, number * step, axes) for number, (role, axes) in enumerate(_ATTENTION))
    if kind == "EinsumDense":
        return (("kernel", 0, _einsum_channels(config["equation"])),)
    if kind == "TimeDistributed":
        return _roles(config["layer"]["kind"], config["layer"]["config"], count)
    if kind == "Bidirectional":
        half, forward = count // 2, config["layer"]
        backward = config.get("backward_layer") or forward
        return tuple(
            (f"{direction}_{role}", index + start, axes)
            for direction, inner, start in (("forward", forward, 0), ("backward", backward, half))
            for role, index, axes in _roles(inner["kind"], inner["config"], half)
        )
    return _ROLES.get(kind, ())


def _einsum_channels(equation: str) -> tuple[int, ...]:
    """The kernel's axes that are in the output only.

    Example:
      >>> _einsum_channels("abc,cde->abde")
      (1, 2)
    """
    operands, _, output = equation.replace(" ", "").partition("->")
    inputs, _, kernel = operands.partition(",")
    return tuple(axis for axis, letter in enumerate(kernel) if letter in output and letter not in inputs)
