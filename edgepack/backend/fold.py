"""BatchNormalization folded into the layer before it: the same outputs, one layer fewer.

With y = γ (x - μ) / sqrt(σ² + ε) + β and x = W∗a + b: W' = s W and b' = β + s (b - μ), s = γ / sqrt(σ² + ε), each
output channel on its own (Jacob et al., 2018, eq. 14).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.gate.graph import Call, Graph, Layer, Ref, map_refs

Array = npt.NDArray[Any]

FOLDABLE: Final[dict[str, tuple[int, ...]]] = {
    "Conv1D": (-1,),
    "Conv2D": (-1,),
    "Conv3D": (-1,),
    "Conv1DTranspose": (-2,),
    "Conv2DTranspose": (-2,),
    "Conv3DTranspose": (-2,),
    "Dense": (-1,),
    "DepthwiseConv1D": (-2, -1),
    "DepthwiseConv2D": (-2, -1),
    "SeparableConv1D": (-1,),
    "SeparableConv2D": (-1,),
}
"""Kernel axes that number the output channels (SeparableConv: of its pointwise half)."""


def fold_batch_normalization(model: Any, names: Collection[str] | None = None) -> Any:
    """A new model with every BatchNormalization that directly follows a convolution or Dense folded into it.

    Folded only where the convolution has a single reader and a linear activation, and each of the two layers is called
    once. The convolution keeps its name and gains a bias; a folded layer that bore an output's name leaves a linear
    Activation of that name.

    Args:
      model: a model of `rebuild.build`; it is not changed.
      names: layers to fold into; None for all of them.

    Returns:
      A live model with the same inputs, outputs (within float error) and names.
    """
    from edgepack.backend import rebuild

    ranks = {layer.name: layer.output.shape.rank for layer in model.layers if hasattr(layer.output, "shape")}
    return rebuild.build(fold_graph(rebuild.graph_of(model), ranks, names))


def fold_graph(graph: Graph, ranks: Mapping[str, int], names: Collection[str] | None = None) -> Graph:
    """`fold_batch_normalization` on the records; `ranks` of the layers' outputs, batch axis included."""
    layers = dict(graph.layers)
    alias: dict[int, int] = {}
    outputs = {ref.call for _, ref in graph.outputs}
    renamed: dict[int, str] = {}
    for number, call in enumerate(graph.calls):
        before = _foldable_before(graph, number, outputs, ranks)
        if before is None or (names is not None and graph.calls[before].layer not in names):
            continue
        convolution = graph.layers[graph.calls[before].layer]
        layers[convolution.name] = _folded(convolution, graph.layers[call.layer])
        alias[number] = before
        if number in outputs:
            renamed[number] = call.layer
    return without_calls(dataclasses.replace(graph, layers=layers), alias, renamed)


def foldable(graph: Graph, ranks: Mapping[str, int]) -> dict[str, str]:
    """Layer → the BatchNormalization that `fold_graph` folds into it."""
    outputs = {ref.call for _, ref in graph.outputs}
    found = {}
    for number, call in enumerate(graph.calls):
        before = _foldable_before(graph, number, outputs, ranks)
        if before is not None:
            found[graph.calls[before].layer] = call.layer
    return found


def _foldable_before(graph: Graph, number: int, outputs: set[int], ranks: Mapping[str, int]) -> int | None:
    """Number of the call that the BatchNormalization of call `number` folds into."""
    call = graph.calls[number]
    normalization = graph.layers[call.layer]
    if normalization.kind != "BatchNormalization" or len(call.args) != 1 or not isinstance(call.args[0], Ref):
        return None
    before = call.args[0].call
    layer = graph.layers[graph.calls[before].layer]
    axis = normalization.config.get("axis", -1)
    axes = [axis] if isinstance(axis, int) else list(axis)
    last = axes == [-1] or axes == [ranks.get(layer.name, 0) - 1]
    if (
        layer.kind not in FOLDABLE
        or not last
        or layer.config.get("activation", "linear") != "linear"
        or before in outputs
        or len(list(graph.consumers(before))) != 1
        or graph.calls_of(layer.name) != 1
        or graph.calls_of(normalization.name) != 1
    ):
        return None
    return before


def _folded(layer: Layer, normalization: Layer) -> Layer:
    scale, shift = affine(normalization)
    *kernels, kernel = layer.weights[:-1] if layer.config.get("use_bias", True) else layer.weights
    bias = layer.weights[-1] if layer.config.get("use_bias", True) else np.zeros_like(shift)
    axes = FOLDABLE[layer.kind]
    shape = [1] * kernel.ndim
    for axis in axes:
        shape[axis] = kernel.shape[axis]
    folded = (kernel * scale.reshape(shape)).astype(np.float32)
    weights = (*kernels, folded, (shift + scale * bias).astype(np.float32))
    return dataclasses.replace(layer, weights=weights, config={**layer.config, "use_bias": True})


def affine(normalization: Layer) -> tuple[Array, Array]:
    """Scale and shift of a BatchNormalization when predicting, float64 [channels] each.

    Example:
      >>> layer = Layer(name="n", kind="BatchNormalization", config={"epsilon": 0.0, "center": False},
      ...               weights=(np.array([2.0]), np.array([3.0]), np.array([4.0])))
      >>> affine(layer)
      (array([1.]), array([-3.]))
    """
    weights: Sequence[Array] = [np.asarray(weight, np.float64) for weight in normalization.weights]
    config = normalization.config
    mean, variance = weights[-2], weights[-1]
    gamma = weights[0] if config.get("scale", True) else np.ones_like(mean)
    beta = weights[-3] if config.get("center", True) else np.zeros_like(mean)
    scale = gamma / np.sqrt(variance + float(config.get("epsilon", 1e-3)))
    return scale, beta - scale * mean


def without_calls(graph: Graph, alias: Mapping[int, int], renamed: Mapping[int, str] | None = None) -> Graph:
    """The graph without the calls in `alias`, whose readers read the aliased call instead.

    Args:
      graph: the model; it is not changed.
      alias: call to leave out → call that stands for it.
      renamed: calls of `alias` that leave a linear Activation of this name, since an output bears it.
    """
    renamed = renamed or {}
    calls: list[Call] = []
    moved: dict[int, int] = {}
    layers = dict(graph.layers)
    for number, call in enumerate(graph.calls):
        if number in alias and number not in renamed:
            moved[number] = moved[alias[number]]
            continue
        kept = dataclasses.replace(call, args=_moved(call.args, moved), kwargs=_moved(call.kwargs, moved))
        if number in renamed:
            name = renamed[number]
            layers[name] = Layer(name=name, kind="Activation", config={"activation": "linear"})
        moved[number] = len(calls)
        calls.append(kept)
    return dataclasses.replace(
        graph,
        layers={call.layer: layers[call.layer] for call in calls},
        calls=tuple(calls),
        inputs=tuple((name, _moved(ref, moved)) for name, ref in graph.inputs),
        outputs=tuple((name, _moved(ref, moved)) for name, ref in graph.outputs),
    )


def _moved(value: Any, moved: dict[int, int]) -> Any:
    return map_refs(value, lambda ref: Ref(moved[ref.call], ref.output))
