"""Which channels of a .tflite can go without changing one bit of its answers, and why the other dead ones cannot.

A channel is dead when it is a constant whatever the input (`reachable`), or when nothing reads it. It can go when
every op that would read it (a convolution, a dense op) either has no weight for it or can take its constant into the
bias: bias + Σ w·(constant − zero point), exact in integers. At a border that keeps the size that holds only for the
zero point itself, because a tap outside the picture counts nothing. Floats are taken to be finite (0·∞ is no zero).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.tflite.lanes import Lanes
from edgepack.tflite.reachable import Reachable
from edgepack.tflite.wiring import Weighted, Wiring

Marks = npt.NDArray[np.bool_]

READ: Final = "further on it varies: a sum with a live channel, or a border, makes it"
BORDER: Final = "at the border of a convolution that keeps the size its constant counts less than inside"
INEXACT: Final = "a float constant other than zero cannot be moved into a bias without rounding"
LAST: Final = "a tensor needs at least one channel"


@dataclass(frozen=True, kw_only=True)
class LayerChannels:
    """What became of the output channels of one convolution or dense op.

    Attributes:
      layer: name of its output tensor.
      op: such as "CONV_2D".
      channels: how many there were.
      constant: how many have one value only, whatever the input.
      removed: how many can go: constant ones, and ones that nothing reads.
      kept: reason → how many constant ones must stay.
    """

    layer: str
    op: str
    channels: int
    constant: int
    removed: int
    kept: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The answer for a whole file.

    Attributes:
      keep: by lane, whether it stays.
      layers: by op, in the file's order.
    """

    wiring: Wiring
    lanes: Lanes
    reachable: Reachable
    keep: Marks
    layers: tuple[LayerChannels, ...]

    @property
    def removed(self) -> int:
        """Output channels of convolutions and dense ops that go."""
        return sum(layer.removed for layer in self.layers)


def find(model: Any) -> Findings:
    """Looks at the main graph of a `ModelT` (see `schema.unpacked`); changes nothing."""
    wiring = Wiring(model)
    lanes = Lanes(wiring)
    reachable = Reachable(wiring, lanes)
    needed = _Needed(wiring, lanes, reachable)
    keep = needed.marks[lanes.label]
    layers = []
    for op in lanes.weighted.values():
        output = lanes.of(op.node.outputs[0])
        constant = reachable.constant(op.node.outputs[0])
        staying = lanes.label[output[constant & keep[output]]]
        kept = Counter(needed.reasons[label] for label in staying.tolist())
        layers.append(
            LayerChannels(
                layer=wiring.title(op.node),
                op=op.node.name,
                channels=len(output),
                constant=int(constant.sum()),
                removed=int((~keep[output]).sum()),
                kept=dict(sorted(kept.items())),
            )
        )
    return Findings(wiring=wiring, lanes=lanes, reachable=reachable, keep=keep, layers=tuple(layers))


def foldable(op: Weighted, reachable: Reachable) -> Marks:
    """Which input lanes of a convolution or dense op are constants that its bias can take over."""
    low, high = reachable.range(op.node.inputs[0])
    constant: Marks = low == high
    if op.integer and not op.padded:
        return constant
    zero: Marks = low == op.input_zero  # 0 for a float
    return constant & zero


class _Needed:
    """What is read, from the model's outputs backwards; the least set that feeds itself.

    Attributes:
      marks: by label (see `Lanes.label`), whether its lanes are needed.
      reasons: label → why.
    """

    def __init__(self, wiring: Wiring, lanes: Lanes, reachable: Reachable) -> None:
        self._lanes, self._reachable = lanes, reachable
        self.marks: Marks = np.zeros(len(lanes.label), bool)
        self.reasons: dict[int, str] = {}
        for lane, reason in lanes.pins.items():
            self._mark([int(lanes.label[lane])], reason)
        outputs = [index for node in wiring.nodes for index in node.outputs]
        while self._spread() or self._fill(outputs):
            pass

    def _mark(self, labels: list[int], reason: str) -> None:
        for label in labels:
            self.marks[label] = True
            self.reasons.setdefault(label, reason)

    def _spread(self) -> bool:
        """Marks what ops with needed outputs read; whether that was news."""
        news = False
        for labels, reason in (found for op in self._lanes.weighted.values() for found in self._read_by(op)):
            new = [label for label in labels.tolist() if not self.marks[label]]
            self._mark(new, reason)
            news = news or bool(new)
        return news

    def _read_by(self, op: Weighted) -> Iterator[tuple[npt.NDArray[np.int64], str]]:
        if op.depthwise:
            return  # its lanes are tied, or pinned
        label = self._lanes.label
        rows = self.marks[label[self._lanes.of(op.node.outputs[0])]]
        read = (op.weights[rows] != 0).any(axis=(0, 1)) & ~foldable(op, self._reachable)
        constant = self._reachable.constant(op.node.inputs[0])
        entering = label[self._lanes.of(op.node.inputs[0])]
        yield entering[read & constant], BORDER if op.integer else INEXACT
        yield entering[read & ~constant], READ

    def _fill(self, tensors: list[int]) -> bool:
        """Keeps a channel of the first tensor that would have none; whether there was one."""
        for index in tensors:
            labels = self._lanes.label[self._lanes.of(index)]
            if len(labels) and not self.marks[labels].any():
                self._mark([int(labels[0])], LAST)
                return True
        return False
