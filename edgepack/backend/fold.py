"""BatchNormalization folded into the layer before it, on the records of the graph.

The converter folds too, but after the stages: a kernel that shares 16 values over the whole layer would then
be multiplied by another factor in every channel. Folded first, what is clustered is what is exported.

Source: Jacob et al. (2018), "Quantization and training of neural networks", eq. 14.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, Final

import numpy as np

from edgepack.gate.graph import Graph, Layer

# Where the kernel with the output channels is, and its axis of output channels.
_KERNELS: Final[dict[str, tuple[int, int]]] = {
    "Dense": (0, 1),
    "Conv1D": (0, 2),
    "Conv2D": (0, 3),
    "Conv3D": (0, 4),
    "Conv1DTranspose": (0, 1),
    "Conv2DTranspose": (0, 2),
    "Conv3DTranspose": (0, 3),
    "SeparableConv1D": (1, 2),
    "SeparableConv2D": (1, 3),
}


def fold(graph: Graph, names: Collection[str]) -> tuple[Graph, dict[str, str]]:
    """The same function with the BatchNormalizations behind the named layers folded into them.

    A folded BatchNormalization stays as an Activation("linear") of its name, so that outputs keep their
    names; the exported file has no operation for it.

    Args:
      graph: read with weights; it is not changed.
      names: layers to fold into, where a BatchNormalization is all that reads their output.

    Returns:
      The graph, and {layer: folded BatchNormalization}.
    """
    layers, folded = dict(graph.layers), dict[str, str]()
    for number, call in enumerate(graph.calls):
        before = graph.layers[call.layer]
        readers = [graph.calls[reader].layer for reader in graph.consumers(number)]
        if call.layer not in names or before.kind not in _KERNELS or len(readers) != 1:
            continue
        after = graph.layers[readers[0]]
        alone = graph.calls_of(before.name) == graph.calls_of(after.name) == 1
        linear = before.config.get("activation", "linear") in (None, "linear")
        exported = any(ref.call == number for _, ref in graph.outputs)
        if (
            after.kind != "BatchNormalization"
            or not (alone and linear)
            or exported
            or not _last(after, before)
        ):
            continue
        layers[before.name] = _folded(before, after)
        layers[after.name] = Layer(name=after.name, kind="Activation", config={"activation": "linear"})
        folded[before.name] = after.name
    return dataclasses.replace(graph, layers=layers), folded


def _last(norm: Layer, before: Layer) -> bool:
    """Whether the normalized axis is the one of the output channels."""
    axis: Any = norm.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
    index, _ = _KERNELS[before.kind]
    kernel = before.weights[index]
    # A Dense may work on any rank: only -1, or 1 of a flat input, is certain.
    return axis == -1 or (before.kind != "Dense" and axis == kernel.ndim - 1)


def _folded(before: Layer, norm: Layer) -> Layer:
    weights = [np.asarray(weight, np.float64) for weight in norm.weights]
    gamma = weights.pop(0) if norm.config.get("scale", True) else 1.0
    beta = weights.pop(0) if norm.config.get("center", True) else 0.0
    mean, variance = weights
    factor = gamma / np.sqrt(variance + norm.config.get("epsilon", 1e-3))
    index, axis = _KERNELS[before.kind]
    arrays = list(before.weights)
    shape = [1] * arrays[index].ndim
    shape[axis] = -1
    arrays[index] = np.asarray(arrays[index] * factor.reshape(shape), np.float32)
    bias = arrays.pop() if before.config.get("use_bias", True) else 0.0
    arrays.append(np.asarray(beta + (bias - mean) * factor, np.float32))
    config = {**before.config, "use_bias": True}
    return dataclasses.replace(before, config=config, weights=tuple(arrays))
