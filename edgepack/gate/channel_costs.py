"""What each weighted layer of a model costs at other widths: multiply-adds and weights, group by group."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from edgepack.gate.coupling_rules import DEPTHWISE, WIDTH_KEYS, Shape
from edgepack.gate.couplings import FIXED, CallShapes, Couplings, Row
from edgepack.gate.facts import kernels
from edgepack.gate.graph import Graph, Layer
from edgepack.gate.readers import RECURRENT, inner
from edgepack.numerics import latency_model
from edgepack.numerics.latency_model import LatencyModel

FREE_SIDE: Final = 32
"""Length taken for a free dimension."""
GATES: Final[Mapping[str, int]] = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}
Form = Literal["dense", "depthwise", "separable", "recurrent", "other"]


@dataclass(frozen=True, kw_only=True)
class Work:
    """One call of a weighted layer.

    Attributes:
      layer, kind: of the layer (of the one that a wrapper holds).
      form: how multiply-adds follow from widths.
      reads, gives: group → places per channel; group `FIXED` stands for the places that stay.
      positions: output positions a sample; input positions of a transposed convolution; steps of a recurrent layer.
      output: [height, width] or [length] of the output map; () where there is none.
      taps: kernel height × width.
      kernel: kernel height, width, …
      strides: of the layer.
      ways: 2 for a Bidirectional layer.
      weights: of a layer whose form is "other".
    """

    layer: str
    kind: str
    form: Form
    reads: Mapping[int, int]
    gives: Mapping[int, int]
    positions: int
    output: tuple[int, ...] = ()
    taps: int = 1
    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    multiplier: int = 1
    ways: int = 1
    weights: int = 0

    def inputs(self, widths: Mapping[int, int]) -> int:
        """Channels that the layer reads."""
        return sum(each * widths.get(group, 1) for group, each in self.reads.items())

    def outputs(self, widths: Mapping[int, int]) -> int:
        """Channels that the layer gives."""
        return sum(each * widths.get(group, 1) for group, each in self.gives.items())

    def parameters(self, widths: Mapping[int, int]) -> int:
        """Weights of the kernels."""
        given, made = self.inputs(widths), self.outputs(widths)
        if self.form == "depthwise":
            return self.taps * made
        if self.form == "separable":
            return self.taps * given * self.multiplier + given * self.multiplier * made
        if self.form == "recurrent":
            units = made // self.ways
            return self.ways * GATES[self.kind] * units * (given + units)
        return self.taps * given * made if self.form == "dense" else self.weights

    def macs(self, widths: Mapping[int, int]) -> int:
        """Multiply-adds of one sample."""
        return self.positions * self.parameters(widths)


PerLayer = Callable[[Work, Mapping[int, int]], float]
"""Cost of a layer at the groups' widths: `Work.macs`, `Work.parameters`, or a time from a table."""


def timed(model: LatencyModel) -> PerLayer:
    """Microseconds of a layer as an int8 op, from a table of measured ops; only what widths change."""

    def microseconds(each: Work, widths: Mapping[int, int]) -> float:
        given, made, positions = each.inputs(widths), each.outputs(widths), each.positions
        read = positions * math.prod(each.strides) * given
        if each.form == "depthwise":
            ops = [latency_model.depthwise(taps=each.taps, channels=made, positions=positions, read=read)]
        elif each.form == "separable":
            between = given * each.multiplier
            ops = [
                latency_model.depthwise(taps=each.taps, channels=between, positions=positions, read=read),
                latency_model.convolution(
                    taps=1, inputs=between, outputs=made, positions=positions, read=positions * between
                ),
            ]
        elif each.form == "recurrent":
            units = made // each.ways
            step = latency_model.dense(inputs=given + units, outputs=GATES[each.kind] * units)
            return positions * each.ways * model.op_us(step)
        elif each.form == "dense" and each.kernel:
            ops = [
                latency_model.convolution(
                    taps=each.taps, inputs=given, outputs=made, positions=positions, read=read
                )
            ]
        elif each.form == "dense":
            ops = [latency_model.dense(inputs=given, outputs=made, rows=max(1, positions))]
        else:
            ops = []
        return sum(model.op_us(op) for op in ops)

    return microseconds


def work(graph: Graph, couplings: Couplings, shapes: CallShapes) -> tuple[Work, ...]:
    """Every weighted call of a graph, in order."""
    found = []
    for number, call in enumerate(graph.calls):
        layer, refs = graph.layers[call.layer], list(call.refs())
        if not kernels(layer) or not refs:
            continue
        before = shapes[refs[0].call][refs[0].output]
        found.append(
            _of(
                layer,
                _counted(couplings, couplings.row(refs[0])),
                _counted(couplings, couplings.outputs(number)[0]),
                before,
                shapes[number][0],
            )
        )
    return tuple(found)


def total(works: Sequence[Work], cost: PerLayer, widths: Mapping[int, int]) -> float:
    """Cost of the whole model at the groups' widths."""
    return sum(cost(each, widths) for each in works)


def _of(layer: Layer, reads: dict[int, int], gives: dict[int, int], before: Shape, after: Shape) -> Work:
    kind, config = inner(layer)
    output = tuple(_side(side) for side in after[1:-1])
    transposed, recurrent = kind.endswith("Transpose"), kind in RECURRENT
    positions = math.prod(_side(side) for side in (before if transposed or recurrent else after)[1:-1])
    form: Form = "other"
    if kind == "Embedding":
        positions = 0  # rows are looked up
    elif kind.startswith("SeparableConv"):
        form = "separable"
    elif kind in DEPTHWISE:
        form = "depthwise"
    elif recurrent:
        form = "recurrent"
    elif kind in WIDTH_KEYS and config.get("groups", 1) == 1:
        form = "dense"
    size = _sides(config.get("kernel_size", ()))
    return Work(
        layer=layer.name,
        kind=kind,
        form=form,
        reads=reads,
        gives=gives,
        positions=positions,
        output=output,
        taps=math.prod(size),
        kernel=size,
        strides=_sides(config.get("strides", ())),
        multiplier=int(config.get("depth_multiplier") or 1),
        ways=2 if layer.kind == "Bidirectional" else 1,
        weights=sum(int(kernel.array.size) for kernel in kernels(layer)),
    )


def _counted(couplings: Couplings, row: Row) -> dict[int, int]:
    counts: dict[int, int] = {}
    for part in row:
        group = couplings.find(part.group)
        counts[group] = counts.get(group, 0) + (part.width if group == FIXED else part.each)
    return counts


def _side(side: int | None) -> int:
    return FREE_SIDE if side is None else side


def _sides(value: Any) -> tuple[int, ...]:
    return (value,) if isinstance(value, int) else tuple(value)
