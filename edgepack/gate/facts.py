"""What the planner and the checks need to know about each weighted layer."""

from __future__ import annotations

import math
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
    "MultiHeadAttention": (
        ("query", 0, (1, 2)),
        ("key", 2, (1, 2)),
        ("value", 4, (1, 2)),
        ("output", 6, (2,)),
    ),
}


def kernels(layer: Layer) -> tuple[Kernel, ...]:
    """The weight arrays of a layer that stages can act on; () for kinds that have none."""
    roles = _ROLES.get(layer.kind, ())
    return tuple(
        Kernel(role=role, array=layer.weights[index], index=index, channel_axes=axes)
        for role, index, axes in roles
        if index < len(layer.weights)
    )
