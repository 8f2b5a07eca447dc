"""Which channels of a model belong together: layers whose outputs are added must be narrowed alike.

The last axis of every tensor is a row of segments, each naming the group of channels that it comes from.
Layers with a width of their own (Dense, Conv, LSTM …) open a group; additions, gates and joins along another axis
tie groups; depthwise layers, normalizations, activations, pooling and Flatten pass them on; model inputs and
outputs, and everything that is not understood here, fix them, with the reason.

Source: the dependency graph of Fang et al. (2023), "DepGraph: towards any structural pruning", arXiv 2301.12900, here
on rows of segments instead of pairs of layers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgepack.gate import coupling_rules as rules
from edgepack.gate.coupling_rules import DEPTHWISE, WIDTH_KEYS, Shape
from edgepack.gate.graph import INPUT_KIND, Call, Graph, Layer, Ref

CallShapes = Sequence[Sequence[Shape]]
"""For each call of a graph the shapes of its outputs, batch first."""
FIXED: Final = 0
"""The group of channels that keep their number."""


@dataclass(frozen=True)
class Segment:
    """`size` channels of one group in a row; each stands `each` times (depth multiplier)."""

    group: int
    size: int
    each: int = 1

    @property
    def width(self) -> int:
        """Places along the axis."""
        return self.size * self.each


Row = tuple[Segment, ...]


class Couplings:
    """The groups of a graph.

    Args:
      graph: the model.
      shapes: of every call's outputs.

    Attributes:
      opened: layer → the group that its width opens (before ties; see `find`). A Bidirectional layer opens two, under
        "<layer>/forward" and "<layer>/backward".
      sizes: channels of each opened group, by the same keys.
    """

    def __init__(self, graph: Graph, shapes: CallShapes) -> None:
        self._shapes = shapes
        self._parents = [FIXED]
        self._reasons: dict[int, str] = {}
        self.opened: dict[str, int] = {}
        self.sizes: dict[str, int] = {}
        self._rows: list[tuple[Row, ...]] = []
        inputs: dict[str, Row] = {}
        for number, call in enumerate(graph.calls):
            layer, rows = graph.layers[call.layer], [self.row(ref) for ref in call.refs()]
            if rows and layer.weights:
                # A shared layer has one kernel: whatever it reads must be narrowed alike.
                self._tie(
                    [inputs.setdefault(layer.name, rows[0]), rows[0]], f'layer "{layer.name}" reads both'
                )
            self._rows.append(self._outputs(number, call, layer, rows))
        for name, ref in graph.outputs:
            self.fix(self.row(ref), f'is the output "{name}" of the model')

    def row(self, ref: Ref) -> Row:
        """Segments of a tensor's last axis."""
        return self._rows[ref.call][ref.output]

    def outputs(self, call: int) -> tuple[Row, ...]:
        """Rows of every output of a call."""
        return self._rows[call]

    def find(self, group: int) -> int:
        """The group that a group was tied into; FIXED where it must keep its width."""
        while self._parents[group] != group:
            group = self._parents[group]
        return group

    def reason(self, group: int) -> str:
        """Why a group keeps its width; "" where it need not."""
        while self._parents[group] != FIXED:
            if self._parents[group] == group:
                return ""
            group = self._parents[group]
        return self._reasons.get(group, "")

    def fix(self, row: Row, reason: str) -> None:
        """Makes the channels of a row keep their number, as all that are tied to them."""
        for part in row:
            if (group := self.find(part.group)) != FIXED:
                self._parents[group] = FIXED
                self._reasons[group] = reason

    def _outputs(self, number: int, call: Call, layer: Layer, rows: list[Row]) -> tuple[Row, ...]:
        shapes = self._shapes[number]
        if layer.kind == INPUT_KIND:
            return tuple(_fixed(shape) for shape in shapes)
        befores = [self._shapes[ref.call][ref.output] for ref in call.refs()]
        row = self._merged(layer, rows, befores)
        if len(rows) == 1:
            row = self._through(layer, call, rows[0], befores[0], shapes[0])
        if isinstance(row, str) or any(shape[-1:] != (_width(row),) for shape in shapes):
            reason = row if isinstance(row, str) else f'layer "{layer.name}" ({layer.kind}) is not understood'
            for before in rows:
                self.fix(before, reason)
            return tuple(_fixed(shape) for shape in shapes)
        mixed = rules.mixes(layer, shapes[0])
        if mixed is not None:
            self.fix(row, mixed)
        return (row,) * len(shapes)

    def _through(self, layer: Layer, call: Call, row: Row, before: Shape, after: Shape) -> Row | str:
        """Output of a call with one input; the reason where its channels must stay."""
        if layer.kind == "TimeDistributed":
            inner = layer.config["layer"]
            inside = dataclasses.replace(layer, kind=inner["kind"], config=inner["config"])
            return self._through(inside, call, row, (None, *before[2:]), (None, *after[2:]))
        if layer.kind == "Bidirectional":
            return self._both_ways(layer)
        if layer.kind in WIDTH_KEYS:
            if layer.config.get("groups", 1) != 1:
                return f'layer "{layer.name}" convolves in groups'
            return self._open(layer.name, layer.config[WIDTH_KEYS[layer.kind]])
        if layer.kind in DEPTHWISE:
            multiplier = layer.config.get("depth_multiplier", 1)
            return tuple(Segment(part.group, part.size, part.each * multiplier) for part in row)
        if layer.kind in ("Flatten", "Reshape"):
            times = rules.repeats(before, after)
            return row * times if times else f'layer "{layer.name}" (Reshape) cuts through the channels'
        if rules.passes_each(layer, call, before):
            return row
        return f'layer "{layer.name}" ({layer.config.get("operation", layer.kind)}) is not known to keep channels apart'

    def _merged(self, layer: Layer, rows: list[Row], shapes: list[Shape]) -> Row | str:
        """Output of a call with several inputs; the reason where their channels must stay."""
        joins = layer.kind == "Concatenate"
        if joins and layer.config.get("axis", -1) % len(shapes[0]) == len(shapes[0]) - 1:
            return tuple(part for row in rows for part in row)
        wide = [row for row, shape in zip(rows, shapes, strict=True) if shape[-1:] != (1,)]
        if rows and (joins or rules.ties(layer)):
            tied = rows if joins else wide or rows
            self._tie(tied, f'layer "{layer.name}" joins it with channels that stay')
            return tied[0]
        return f'layer "{layer.name}" ({layer.config.get("operation", layer.kind)}) reads several tensors'

    def _both_ways(self, layer: Layer) -> Row | str:
        forward = layer.config["layer"]
        backward = layer.config.get("backward_layer") or forward
        if forward["kind"] not in WIDTH_KEYS or backward["kind"] not in WIDTH_KEYS:
            return f'layer "{layer.name}" wraps a {forward["kind"]}'
        first, second = (
            self._open(f"{layer.name}/{way}", inner["config"]["units"])
            for way, inner in (("forward", forward), ("backward", backward))
        )
        if layer.config.get("merge_mode", "concat") == "concat":
            return first + second
        self._tie([first, second], f'layer "{layer.name}" merges both directions')
        return first

    def _open(self, key: str, size: int) -> Row:
        if key not in self.opened:
            self.opened[key], self.sizes[key] = len(self._parents), size
            self._parents.append(len(self._parents))
        return (Segment(self.opened[key], size),)

    def _tie(self, rows: Sequence[Row], reason: str) -> None:
        first = rows[0]
        for row in rows[1:]:
            if [(part.size, part.each) for part in row] != [(part.size, part.each) for part in first]:
                self.fix(row, reason)
                self.fix(first, reason)
                continue
            for mine, other in zip(first, row, strict=True):
                low, high = sorted((self.find(mine.group), self.find(other.group)))
                if low == FIXED != high:
                    self._reasons[high] = reason
                self._parents[high] = low


def _fixed(shape: Shape) -> Row:
    return (Segment(FIXED, (shape[-1] if shape else None) or 0),)


def _width(row: Row) -> int:
    return sum(part.width for part in row)
