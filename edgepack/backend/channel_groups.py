"""Which channels of a model belong together: layers whose outputs are added must be narrowed alike.

The last axis of every tensor is a row of segments, each naming the group of channels that it comes from.
Layers with a width of their own (Dense, Conv, LSTM …) open a group; additions tie groups; model inputs and
outputs, and everything that is not understood here, fix them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edgepack.gate.graph import INPUT_KIND, Graph, Layer

WIDTH_KEYS: Final[Mapping[str, str]] = {
    "Dense": "units",
    "Conv1D": "filters",
    "Conv2D": "filters",
    "Conv3D": "filters",
    "Conv1DTranspose": "filters",
    "Conv2DTranspose": "filters",
    "Conv3DTranspose": "filters",
    "SeparableConv1D": "filters",
    "SeparableConv2D": "filters",
    "LSTM": "units",
    "GRU": "units",
    "SimpleRNN": "units",
    "Embedding": "output_dim",
}
DEPTHWISE: Final = frozenset({"DepthwiseConv1D", "DepthwiseConv2D"})
TIED: Final = frozenset({"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"})
# Layers that work on every channel for itself, and whose weights, if any, have the channels last.
NORMALIZATIONS: Final = frozenset({"BatchNormalization", "LayerNormalization"})
PER_CHANNEL: Final = frozenset(
    {
        "Activation",
        "ReLU",
        "LeakyReLU",
        "ELU",
        "PReLU",
        "Dropout",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "GaussianNoise",
        "GaussianDropout",
        "AlphaDropout",
        "MaxPooling1D",
        "MaxPooling2D",
        "AveragePooling1D",
        "AveragePooling2D",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
        "GlobalAveragePooling1D",
        "GlobalAveragePooling2D",
        "UpSampling1D",
        "UpSampling2D",
        "ZeroPadding1D",
        "ZeroPadding2D",
        "Cropping1D",
        "Cropping2D",
        "Masking",
    }
)


@dataclass(frozen=True)
class Segment:
    """`size` channels of one group in a row; each stands `each` times (depth multiplier)."""

    group: int
    size: int
    each: int = 1


Row = tuple[Segment, ...]
Shapes = Callable[[str], tuple[Sequence[tuple[int | None, ...]], tuple[int | None, ...]]]
"""Layer name → shapes of its inputs and of its output, batch first."""
FIXED: Final = 0
"""The group of channels that keep their number."""


class ChannelGroups:
    """The groups of a graph.

    Args:
      graph: the model.
      shapes: of every layer.

    Attributes:
      rows: per call, the segments of its output.
      opened: layer → the group that its width opens (before ties; see `find`).
    """

    def __init__(self, graph: Graph, shapes: Shapes) -> None:
        self._shapes = shapes
        self._parents = [FIXED]
        self.opened: dict[str, int] = {}
        self.rows: list[Row] = []
        inputs: dict[str, Row] = {}
        for call in graph.calls:
            rows = [self.rows[ref.call] for ref in call.refs()]
            layer = graph.layers[call.layer]
            if rows and layer.weights:
                # A shared layer has one kernel: whatever it reads must be narrowed alike.
                self._tie([inputs.setdefault(layer.name, rows[0]), rows[0]])
            self.rows.append(self._output(layer, rows))
        for _, ref in graph.outputs:
            self._fix(self.rows[ref.call])

    def find(self, group: int) -> int:
        """The group that a group was tied into; FIXED where it must keep its width."""
        while self._parents[group] != group:
            group = self._parents[group]
        return group

    def _output(self, layer: Layer, rows: list[Row]) -> Row:
        if layer.kind == INPUT_KIND:
            return self._fixed(layer)
        row = self._through(layer, rows[0]) if len(rows) == 1 else self._merged(layer, rows)
        if row is not None:
            return row
        for row in rows:
            self._fix(row)
        return self._fixed(layer)

    def _through(self, layer: Layer, row: Row) -> Row | None:
        """Output of a layer with one input; None where the layer is not understood."""
        if layer.kind in WIDTH_KEYS and layer.config.get("groups", 1) == 1:
            return (Segment(self._open(layer.name), layer.config[WIDTH_KEYS[layer.kind]]),)
        if layer.kind in DEPTHWISE:
            multiplier = layer.config.get("depth_multiplier", 1)
            return tuple(Segment(part.group, part.size, part.each * multiplier) for part in row)
        if layer.kind in PER_CHANNEL or (layer.kind in NORMALIZATIONS and self._normalizes_last(layer)):
            return row
        if layer.kind == "Flatten":
            shape = self._shapes(layer.name)[0][0][1:-1]
            if None not in shape:
                return row * math.prod(size for size in shape if size is not None)
        return None

    def _merged(self, layer: Layer, rows: list[Row]) -> Row | None:
        shapes = self._shapes(layer.name)[0]
        if layer.kind == "Concatenate" and layer.config.get("axis", -1) in (-1, len(shapes[0]) - 1):
            return tuple(part for row in rows for part in row)
        if layer.kind in TIED and len({shape[-1] for shape in shapes}) == 1:
            self._tie(rows)
            return rows[0]
        return None

    def _fixed(self, layer: Layer) -> Row:
        return (Segment(FIXED, self._shapes(layer.name)[1][-1] or 0),)

    def _normalizes_last(self, layer: Layer) -> bool:
        axis: Any = layer.config.get("axis", -1)
        axis = axis[0] if isinstance(axis, (list, tuple)) and len(axis) == 1 else axis
        return axis in (-1, len(self._shapes(layer.name)[0][0]) - 1)

    def _open(self, layer: str) -> int:
        if layer not in self.opened:
            self.opened[layer] = len(self._parents)
            self._parents.append(len(self._parents))
        return self.opened[layer]

    def _tie(self, rows: Sequence[Row]) -> None:
        first = rows[0]
        for row in rows[1:]:
            if [(part.size, part.each) for part in row] != [(part.size, part.each) for part in first]:
                self._fix(row)
                self._fix(first)
                continue
            for mine, other in zip(first, row, strict=True):
                low, high = sorted((self.find(mine.group), self.find(other.group)))
                self._parents[high] = low

    def _fix(self, row: Row) -> None:
        for part in row:
            self._parents[self.find(part.group)] = FIXED
