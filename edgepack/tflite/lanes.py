"""Which channels of a graph are one: a channel runs through ops that keep channels apart, and can only go as a whole.

A lane is one index of a tensor's last axis. Pooling ties lane 3 of its input to lane 3 of its output; a residual ADD
ties three tensors; a concatenation ties with an offset; flattening ties one lane to many. Convolutions and dense ops
end lanes and begin new ones. What any other op touches is pinned: it stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from edgepack.tflite.wiring import ABSENT, DEPTHWISE, WEIGHTED, Node, Weighted, Wiring

Indices = npt.NDArray[np.int64]
Tie = tuple[Indices, Indices]

SINGLE: Final = frozenset(
    {
        "AVERAGE_POOL_2D", "BATCH_TO_SPACE_ND", "DEQUANTIZE", "ELU", "EXPAND_DIMS", "GELU", "HARD_SWISH", "LEAKY_RELU",
        "LOGISTIC", "MAX_POOL_2D", "MEAN", "PAD", "PADV2", "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "RELU", "RELU6",
        "RELU_N1_TO_1", "RESHAPE", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SPACE_TO_BATCH_ND", "SQUEEZE", "TANH",
    }
)  # fmt: skip
"""Ops that make each channel of their first input a channel of their output; the other inputs say how."""
JOINING: Final = frozenset(
    {"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "PRELU", "CONCATENATION"}
)
"""Ops that make channels of all their inputs channels of their output."""


MOST_LANES: Final = 1 << 22


def too_wide(wiring: Wiring) -> bool:
    """Whether the tensors claim more channels than any real model has: a file may say what it likes."""
    return sum((wiring.shape(index) or (1,))[-1] for index in range(len(wiring.tensors))) > MOST_LANES


class Lanes:
    """The lanes of a graph, numbered through, and what ties and pins them.

    Attributes:
      first: for each tensor, the number of its first lane; one more at the end.
      label: for each lane, the smallest lane that it is one with.
      pins: lane → why it must stay.
      weighted: by op number, those whose arithmetic is known.
    """

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        widths = [(wiring.shape(index) or (1,))[-1] for index in range(len(wiring.tensors))]
        self.first: Indices = np.concatenate([[0], np.cumsum(widths, dtype=np.int64)])
        self.label: Indices = np.arange(self.first[-1])
        self.pins: dict[int, str] = {}
        self.weighted: dict[int, Weighted] = {}
        ties = []
        for node in wiring.nodes:
            found = self._ties(node)
            if isinstance(found, str):
                for index in (*node.inputs, *node.outputs):
                    self._pin(index, found)
            else:
                ties += found
        self._pin_ends()
        self._join(ties)

    def of(self, index: int) -> Indices:
        """The lanes of a tensor."""
        return np.arange(self.first[index], self.first[index + 1])

    def _pin(self, index: int, reason: str) -> None:
        if index != ABSENT:
            for lane in self.of(index).tolist():
                self.pins.setdefault(lane, reason)

    def _pin_ends(self) -> None:
        wiring = self.wiring
        for index in wiring.inputs:
            self._pin(index, "it is the model's input")
        for index in wiring.outputs:
            self._pin(index, "it is the model's output")
        for signature in wiring.model.signatureDefs or ():
            for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
                if signature.subgraphIndex == 0:
                    self._pin(entry.tensorIndex, "a signature names it")
        for index, tensor in enumerate(wiring.tensors):
            if tensor.isVariable:
                self._pin(index, "it is kept between runs")

    def _ties(self, node: Node) -> list[Tie] | str:
        """Which lanes the op makes one, or the reason why its tensors must stay whole."""
        if node.name in WEIGHTED:
            found = self.wiring.weighted(node)
            if isinstance(found, str):
                return f"{node.name} has {found}"
            self.weighted[node.number] = found
            for index in node.inputs[1:]:
                self._pin(index, "it is cut with its op")
            entering, leaving = self.of(node.inputs[0]), self.of(node.outputs[0])
            if node.name != DEPTHWISE:
                return []
            if len(entering) != len(leaving):
                self._pin(node.inputs[0], "one picture is read by many depthwise channels")
                return []
            return [(entering, leaving)]
        if len(node.outputs) == 1 and node.inputs and node.name in SINGLE | JOINING:
            ties = list(self._single(node) if node.name in SINGLE else self._joining(node))
            if ties and len(np.unique(np.concatenate([leaving for _, leaving in ties]))) == len(
                self.of(node.outputs[0])
            ):
                for index in node.inputs[1:] if node.name in SINGLE else ():
                    self._pin(index, "it says how, not what")
                return ties
        return f"it goes through {node.name or 'a custom op'}"

    def _single(self, node: Node) -> Iterator[Tie]:
        source, target = node.inputs[0], node.outputs[0]
        entering, leaving = self.of(source), self.of(target)
        before, after = self.wiring.shape(source), self.wiring.shape(target)
        if not before or not after:
            return
        if node.name == "RESHAPE":
            repeats = len(leaving) // max(1, len(entering))
            merged = [math.prod(before[axis:]) for axis in range(len(before))]
            if (
                len(leaving) in merged
                and entering.size
                and (len(node.inputs) < 2 or self._constant(node.inputs[1]))
            ):
                yield np.tile(entering, repeats), leaving
        elif len(entering) == len(leaving) and self._leaves_channels(node, len(before)):
            yield entering, leaving

    def _joining(self, node: Node) -> Iterator[Tie]:
        target = node.outputs[0]
        leaving = self.of(target)
        rank = len(self.wiring.shape(target))
        if node.name == "CONCATENATION" and node.options is not None and node.options.axis in (-1, rank - 1):
            start = 0
            for index in node.inputs:
                entering = self.of(index)
                yield entering, leaving[start : start + len(entering)]
                start += len(entering)
            return
        for index in node.inputs:
            entering = self.of(index)
            if len(entering) == len(leaving) and (self.wiring.shape(index) or len(leaving) == 1):
                yield entering, leaving
            elif len(entering) == 1 and node.name != "CONCATENATION":
                self._pin(index, f"{node.name} spreads it over all channels")
            else:
                return

    def _leaves_channels(self, node: Node, rank: int) -> bool:
        """Whether an op with a parameter tensor works on other axes than the last."""
        if node.name in ("PAD", "PADV2"):
            widths = self._constant_value(node, 1)
            return widths is not None and widths.shape == (rank, 2) and not widths[-1].any()
        if node.name in ("MEAN", "REDUCE_MAX", "REDUCE_MIN"):
            axes = self._constant_value(node, 1)
            return axes is not None and all(int(axis) % rank != rank - 1 for axis in axes.reshape(-1))
        if node.name in ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"):
            block = self._constant_value(node, 1)
            return block is not None and block.size <= rank - 2
        return True

    def _constant(self, index: int) -> bool:
        return index != ABSENT and self.wiring.value(index) is not None

    def _constant_value(self, node: Node, number: int) -> npt.NDArray[np.int64] | None:
        index = node.inputs[number] if number < len(node.inputs) else ABSENT
        return self.wiring.value(index) if index != ABSENT else None

    def _join(self, ties: list[Tie]) -> None:
        """Gives tied lanes the smallest of their numbers, in passes along the graph and back until nothing moves."""
        moved = True
        while moved:
            moved = False
            for one, other in (*ties, *reversed(ties)):
                smaller = np.minimum(self.label[one], self.label[other])
                if (self.label[one] != smaller).any() or (self.label[other] != smaller).any():
                    np.minimum.at(self.label, one, smaller)
                    np.minimum.at(self.label, other, smaller)
                    moved = True
