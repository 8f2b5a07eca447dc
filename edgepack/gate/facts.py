"""What the planner and the checks need to know about each weighted layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from edgepack.gate.graph import Graph, Layer


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One weight array that stages act on.

    Attributes:
      role: "kernel", "depthwise", "pointwise", "recurrent", "embedding" …; unique in its layer.
      array: the float weights in Keras layout.
      index: position in ``layer.weights``.
      channel_axes: the axes that together number the output channels, such as (3,) for Conv2D and (2, 3) for
        a depthwise kernel; () where the array has no channels (one scale, such as an embedding).
    """

    role: str
    array: npt.NDArray[Any]
    index: int
    channel_axes: tuple[int, ...]

    def by_channel(self) -> npt.NDArray[Any]:
        """The weights as [channels, weights per channel]; one row where there are no channels.

        Example:
          >>> import numpy as np
          >>> kernel = Kernel(role="kernel", array=np.arange(6).reshape(3, 2), index=0, channel_axes=(1,))
          >>> kernel.by_channel().tolist()
          [[0, 2, 4], [1, 3, 5]]
        """
        rest = [axis for axis in range(self.array.ndim) if axis not in self.channel_axes]
        channels = math.prod(self.array.shape[axis] for axis in self.channel_axes)
        return self.array.transpose(*self.channel_axes, *rest).reshape(channels, -1)


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """One weighted layer, as the file holds it.

    Attributes:
      name, kind: as in `Layer`.
      kernels: the arrays that stages act on; () for layers such as BatchNormalization.
      parameters: number of weights, biases included.
      shared: how often the layer is called (1 for an ordinary layer).
      config: the layer's config (strides, groups, dilation_rate, padding, kernel_size, data_format, …).
      feeds: names of the layers that read its output.
    """

    name: str
    kind: str
    kernels: tuple[Kernel, ...]
    parameters: int
    shared: int
    config: dict[str, Any]
    feeds: tuple[str, ...]


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
        Kernel(role=role, array=layer.weights[index], index=index, channel_axes=axes)
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
