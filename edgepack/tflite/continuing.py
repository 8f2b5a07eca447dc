"""A new release said in the numbers of the one before: its scales, its values per channel, its zeros, most integers.

The file is the new one with old integers in it, so everything that is not a quantized constant is the new release's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.numerics.continuity import Proposal, propose, propose_bias
from edgepack.tflite.opened import Opened, opened
from edgepack.tflite.pairing import BIAS_TYPES, KERNEL_TYPES, WEIGHTED, Pair, Pairing, paired, scales
from edgepack.tflite.slimming import share_buffers

Array = npt.NDArray[Any]

TYPICAL_CODE: Final = 45.0
"""Root mean square of an int8 activation in its own steps, where nobody has looked."""
TENSOR_LIMITS: Final = (-127, 127)


@dataclass(kw_only=True)
class Continuation:
    """The new file and the previous one, ready to be mixed.

    Attributes:
      keeps_ranges: whether activations keep the previous scales and zero points, too; only where both files are one
        graph.
      squares: of inputs of ops of the new file's first subgraph, the mean square of the real values in each channel of
        the last axis, float64 [channels]; what nobody has looked at is taken as typical.
    """

    old: Opened
    new: Opened
    pairing: Pairing
    keeps_ranges: bool
    squares: Mapping[int, Array] = field(default_factory=dict)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """The constants that go on: any of them with the previous ranges, else kernels and biases of known ops."""
        if self.keeps_ranges:
            return self.pairing.pairs
        return tuple(pair for pair in self.pairing.pairs if pair.graph == 0 and pair.kind in WEIGHTED)

    def kernels(self) -> dict[Pair, Proposal]:
        """What could change in each kernel, and what it would gain."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the old scales may be anything
            return {pair: self._kernel(pair) for pair in self.pairs if pair.role == "kernel"}

    def integers(self, kernels: Mapping[Pair, Proposal], threshold: float) -> dict[Pair, Array]:
        """Every constant when all changes are made that gain more than `threshold` per bit."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            biases = {pair: self._bias(pair) for pair in self.pairs if pair.role == "bias"}
        return {pair: proposal.taken(threshold) for pair, proposal in {**kernels, **biases}.items()}

    def written(self, integers: Mapping[Pair, Array]) -> bytes:
        """The file with these constants."""
        made = opened(self.new.data)
        assert isinstance(made, Opened)
        for pair, values in integers.items():
            self._put(made.model, pair, values)
        if self.keeps_ranges:
            self._put_ranges(made.model)
        share_buffers(made.model)  # and no more: tensors keep the numbers that they have in the new file
        return made.closed()

    def _tensors(self, pair: Pair) -> tuple[Any, Any]:
        return (
            self.new.model.subgraphs[pair.graph].tensors[pair.new],
            self.old.model.subgraphs[pair.graph].tensors[pair.old],
        )

    def _kernel(self, pair: Pair) -> Proposal:
        his = self._tensors(pair)[1]
        old, target = self._both(pair)
        step = _by_channel(his, len(old))
        value = (step / self._output_step(pair)) ** 2 * self._input_square(pair, old.shape)
        low, high = TENSOR_LIMITS
        return propose(old, target, value, low=low - _zero(his), high=high - _zero(his))

    def _both(self, pair: Pair) -> tuple[Array, Array]:
        """The old integers and the new weights in old steps, [channels, weights]."""
        mine, his = self._tensors(pair)
        axis = _axis(mine, pair.kind)
        old = _rows(_integers(self.old.model, his) - _zero(his), axis)
        new = _rows(_integers(self.new.model, mine) - _zero(mine), axis)
        return old, new * (_by_channel(mine, len(new)) / _by_channel(his, len(old)))

    def _bias(self, pair: Pair) -> Proposal:
        mine, his = self._tensors(pair)
        old, new = _integers(self.old.model, his).reshape(-1), _integers(self.new.model, mine).reshape(-1)
        real_old, real_new = old * _spread(scales(his), len(old)), new * _spread(scales(mine), len(new))
        step = self._bias_step(pair, his, len(old))
        # In another scale a bias that stays is another integer: what it stands for is what stays.
        return propose_bias(np.rint(real_old / step), real_new / step, (step / self._output_step(pair)) ** 2)

    def _bias_step(self, pair: Pair, his: Any, channels: int) -> Array:
        if self.keeps_ranges or pair.source is None or pair.kernel is None:
            return _spread(scales(his), channels)
        source = scales(self.new.model.subgraphs[pair.graph].tensors[pair.source])
        kernel = next(
            (item for item in self.pairs if item.role == "kernel" and item.new == pair.kernel), None
        )
        own = (
            self._tensors(kernel)[1] if kernel else self.new.model.subgraphs[pair.graph].tensors[pair.kernel]
        )
        product = np.float32(source[0]) * _spread(scales(own), channels).astype(np.float32)
        return product.astype(np.float64)

    def _output_step(self, pair: Pair) -> float:
        side, model = (pair.output, self.new.model)
        found = scales(model.subgraphs[pair.graph].tensors[side]) if side is not None else np.zeros(0)
        return float(found[0]) if len(found) and found[0] > 0 else 1.0

    def _input_square(self, pair: Pair, shape: tuple[int, ...]) -> Array:
        """Mean square of what each weight is multiplied with, broadcast to [channels, weights]."""
        if pair.source is None:
            return np.ones((1, 1))
        seen = self.squares.get(pair.source, np.zeros(0)) if pair.graph == 0 else np.zeros(0)
        if pair.kind == "DEPTHWISE_CONV_2D":
            if len(seen) == shape[0]:
                return seen[:, None]
        elif len(seen) and shape[1] % len(seen) == 0:
            return np.tile(seen, shape[1] // len(seen))[None, :]
        step = scales(self.new.model.subgraphs[pair.graph].tensors[pair.source])
        return np.full((1, 1), (TYPICAL_CODE * float(step[0] if len(step) else 1.0)) ** 2)

    def _put(self, model: Any, pair: Pair, integers: Array) -> None:
        """Writes a constant into a buffer of its own, with the scale that its integers are in."""
        tensor, his = model.subgraphs[pair.graph].tensors[pair.new], self._tensors(pair)[1]
        if pair.role == "kernel":
            shape = tuple(int(size) for size in tensor.shape)
            axis = _axis(tensor, pair.kind)
            moved = [shape[axis], *(size for number, size in enumerate(shape) if number != axis)]
            values = np.moveaxis(integers.reshape(moved), 0, axis) + _zero(his)
            dtype = KERNEL_TYPES[tensor.type]
            tensor.quantization.scale = np.asarray(his.quantization.scale, np.float32)
            tensor.quantization.zeroPoint = copy.copy(his.quantization.zeroPoint)
        else:
            values, dtype = integers.reshape([int(size) for size in tensor.shape]), BIAS_TYPES[tensor.type]
            step = self._bias_step(pair, his, integers.size)
            tensor.quantization.scale = step[: len(scales(tensor))].astype(np.float32)
            limits = np.iinfo(dtype)
            values = np.clip(values, limits.min, limits.max)
        buffer = copy.copy(model.buffers[tensor.buffer])
        buffer.data = np.frombuffer(np.ascontiguousarray(values, dtype).tobytes(), np.uint8)
        tensor.buffer = len(model.buffers)
        model.buffers.append(buffer)

    def _put_ranges(self, model: Any) -> None:
        for number, graph in enumerate(model.subgraphs):
            for tensor, his in zip(
                graph.tensors or (), self.old.model.subgraphs[number].tensors or (), strict=True
            ):
                constant = (
                    tensor.buffer and len(scales(tensor)) and model.buffers[tensor.buffer].data is not None
                )
                if not constant and len(scales(tensor)) == len(scales(his)) == 1:
                    tensor.quantization.scale = np.asarray(his.quantization.scale, np.float32)
                    tensor.quantization.zeroPoint = copy.copy(his.quantization.zeroPoint)


def continued(old: bytes, new: bytes, *, keeps_ranges: bool) -> Continuation | str:
    """Two files ready to be mixed, or why they cannot be.

    Args:
      old: the previous release, whoever made it.
      new: this release as it was made without continuity.

    Raises:
      DamagedError: one of them is no sound .tflite.
    """
    before, after = opened(old), opened(new)
    if isinstance(before, str) or isinstance(after, str):
        return next(found for found in (before, after) if isinstance(found, str))
    pairing = paired(before.model, after.model)
    if not pairing.pairs:
        return "no layer of it has the form of one of the new model's"
    if keeps_ranges and not pairing.same:
        return "it is another graph"
    return Continuation(old=before, new=after, pairing=pairing, keeps_ranges=keeps_ranges)


def _axis(tensor: Any, kind: str) -> int:
    """Axis of a kernel that numbers its output channels."""
    if len(scales(tensor)) > 1:
        return int(tensor.quantization.quantizedDimension)
    return len(tensor.shape) - 1 if kind == "DEPTHWISE_CONV_2D" else 0


def _integers(model: Any, tensor: Any) -> Array:
    dtype = {**KERNEL_TYPES, **BIAS_TYPES}[tensor.type]
    raw = bytes(model.buffers[tensor.buffer].data)
    stored: Array = np.frombuffer(raw, dtype).reshape([int(size) for size in tensor.shape])
    return stored.astype(np.int64)


def _zero(tensor: Any) -> int:
    """Zero point of a kernel: one for all of it."""
    points = tensor.quantization.zeroPoint
    return int(points[0]) if points is not None and len(points) else 0


def _rows(values: Array, axis: int) -> Array:
    """[channels, weights of a channel]."""
    return (
        np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1) if values.ndim else values.reshape(1, 1)
    )


def _by_channel(tensor: Any, channels: int) -> Array:
    return _spread(scales(tensor), channels)[:, None]


def _spread(found: Array, channels: int) -> Array:
    """One scale per channel."""
    return found if len(found) == channels else np.full(channels, found[0])
