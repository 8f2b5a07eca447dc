"""A model opened up for measuring: every observed kernel stands in a linear layer of its own.

What a kernel makes can then be watched before the activation, which is what the gradients of `statistics` are taken
of. Works on the records of `edgepack.gate.graph`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from edgepack.backend import factors, surgery
from edgepack.gate.facts import kernels
from edgepack.gate.graph import Graph, Layer

OBSERVED: Final = (
    "Dense",
    "Conv1D",
    "Conv2D",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
)
"""Kinds whose kernels have statistics."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """One kernel and the linear layer of the opened graph that holds it.

    Attributes:
      layer, role: of the kernel in the model.
      opened: the layer in the opened graph, of a kind of `OBSERVED` without "Separable".
    """

    layer: str
    role: str
    opened: Layer

    @property
    def depthwise(self) -> bool:
        return self.opened.kind.startswith("Depthwise")

    @property
    def groups(self) -> int:
        """Groups of input channels that do not mix: one a channel for a depthwise kernel."""
        if self.depthwise:
            return int(self.opened.weights[0].shape[-2])
        return int(self.opened.config.get("groups", 1) or 1)

    @property
    def inputs(self) -> int:
        """Length d of what one output of a group reads."""
        shape = self.opened.weights[0].shape
        return int(np.prod(shape[:-2])) if self.depthwise else int(np.prod(shape[:-1]))

    @property
    def outputs(self) -> int:
        """Outputs n of a group."""
        shape = self.opened.weights[0].shape
        return int(shape[-1]) if self.depthwise else int(shape[-1]) // self.groups


def opened(graph: Graph) -> tuple[Graph, tuple[Reading, ...], list[tuple[str, str]]]:
    """The opened graph, the kernels that can be observed in it, and (layer, reason) for those that cannot."""
    taken = set(graph.layers)
    chains: dict[str, Sequence[Layer]] = {}
    readings: list[Reading] = []
    refused: list[tuple[str, str]] = []
    for layer in graph.layers.values():
        if not kernels(layer):
            continue
        if (reason := _refusal(layer)) is not None:
            refused.append((layer.name, reason))
            continue
        chain, seen = _chain(layer, taken)
        readings += seen
        if len(chain) > 1:
            chains[layer.name] = chain
    return surgery.replace(graph, chains), tuple(readings), refused


def _refusal(layer: Layer) -> str | None:
    if layer.kind not in OBSERVED:
        return f"no layer statistics for {layer.kind}: its kernels are not observed"
    if layer.config.get("data_format", "channels_last") not in (None, "channels_last"):
        return "no layer statistics: data_format is not channels_last"
    return None


def _chain(layer: Layer, taken: set[str]) -> tuple[list[Layer], list[Reading]]:
    """Linear layers, one for each kernel, and the activation behind them."""
    activation = layer.config.get("activation") or "linear"
    if layer.kind.startswith("Separable"):
        before, _ = factors.untouched(layer)
        parts = [replace(part, name=_free(part.name, taken)) for part in before]
        parts.append(_pointwise(layer))
        seen = [
            Reading(layer=layer.name, role="depthwise", opened=parts[-2]),
            Reading(layer=layer.name, role="pointwise", opened=parts[-1]),
        ]
    else:
        parts = [replace(layer, config={**layer.config, "activation": "linear"})]
        seen = [Reading(layer=layer.name, role=kernels(layer)[0].role, opened=parts[0])]
    if activation != "linear":
        name = _free(f"{layer.name}_activation", taken)
        parts.append(Layer(name=name, kind="Activation", config={"activation": activation}))
    return parts, seen


def _pointwise(layer: Layer) -> Layer:
    """The second half of a separable layer, under the layer's own name."""
    _, kernel, *bias = layer.weights
    config: dict[str, Any] = {
        "filters": kernel.shape[-1],
        "kernel_size": list(kernel.shape[:-2]),
        "activation": "linear",
        "use_bias": bool(bias),
    }
    kind = layer.kind.removeprefix("Separable")
    return Layer(name=layer.name, kind=kind, config=config, weights=(kernel, *bias))


def _free(name: str, taken: set[str]) -> str:
    """`name`, lengthened until no layer bears it."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name
