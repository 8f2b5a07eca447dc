"""How much memory the tensors of a model need while it runs, as TensorFlow Lite Micro's greedy planner lays them out.

A tensor lives from the operator that makes it to the last that reads it; the largest are placed first, each at the
lowest address where nothing that lives at the same time lies (`GreedyMemoryPlanner` of tflite-micro; Pisarchyk and Lee,
"Efficient Memory Management for Deep Neural Net Inference", 2020, "greedy by size").
"""

from __future__ import annotations

from dataclasses import dataclass

from edgepack.tflite.model import NO_TENSOR, Model, Op, Subgraph, Tensor

ALIGNMENT_BYTES = 16
ELEMENT_BITS = {
    "float32": 32, "float16": 16, "float64": 64, "bool": 8, "int2": 2, "int4": 4, "uint4": 4, "int8": 8, "uint8": 8,
    "int16": 16, "uint16": 16, "int32": 32, "uint32": 32, "int64": 64, "uint64": 64,
}  # fmt: skip
CHANNELS_AT = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": -1, "TRANSPOSE_CONV": 0, "FULLY_CONNECTED": 0}
"""Axis of a kernel that its output channels lie along."""
TENSOR_RECORD_BYTES, OPERATOR_RECORD_BYTES, CHANNEL_BYTES = 12, 48, 8
"""What the interpreter keeps all the time: an evaluation record per tensor, node and parameters per operator, multiplier
and shift per output channel. Read off tflite-micro's sources for 32-bit processors; kernels may keep more."""


@dataclass(frozen=True, kw_only=True)
class Arena:
    """Bytes that an interpreter needs besides the model.

    Attributes:
      activation_bytes: the planned tensors, peak.
      persistent_bytes: estimate of what the interpreter itself keeps.
    """

    activation_bytes: int
    persistent_bytes: int

    @property
    def total_bytes(self) -> int:
        """Without the scratch buffers of optimized kernels, which only the device's own interpreter knows."""
        return self.activation_bytes + self.persistent_bytes


@dataclass(frozen=True, kw_only=True)
class _Life:
    size: int
    first: int
    last: int


def arena(model: Model) -> Arena:
    """Plans the main subgraph; variable tensors count as persistent."""
    graph = model.main
    channels = sum(_channels(graph, op) for op in graph.ops)
    variables = sum(aligned_bytes(tensor) for tensor in graph.tensors if tensor.is_variable)
    kept = TENSOR_RECORD_BYTES * len(graph.tensors) + OPERATOR_RECORD_BYTES * len(graph.ops)
    return Arena(
        activation_bytes=_planned(_lives(graph)), persistent_bytes=variables + kept + CHANNEL_BYTES * channels
    )


def _channels(graph: Subgraph, op: Op) -> int:
    """How many multipliers and shifts a kernel keeps: convolutions one for each output channel, whatever their scales."""
    if op.name not in CHANNELS_AT or len(op.inputs) < 2:
        return 0
    kernel = graph.tensors[op.inputs[1]]
    if op.name == "FULLY_CONNECTED":
        return (
            kernel.quantization.scale.size if kernel.quantization and kernel.quantization.per_channel else 0
        )
    return kernel.shape[CHANNELS_AT[op.name]] if kernel.shape else 0


def aligned_bytes(tensor: Tensor) -> int:
    """Bytes of one tensor, rounded up as the planner does; 0 for a kind that has no fixed size."""
    size = -(-tensor.elements * ELEMENT_BITS.get(tensor.dtype, 0) // 8)
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def _lives(graph: Subgraph) -> list[_Life]:
    first = dict.fromkeys(graph.inputs, -1)
    last: dict[int, int] = dict.fromkeys(graph.inputs, -1)
    for number, op in enumerate(graph.ops):
        for index in (*op.outputs, *op.intermediates):
            first.setdefault(index, number)
            last[index] = max(last.get(index, number), number)
        for index in op.inputs:
            if index != NO_TENSOR and index in first:
                last[index] = number
    for index in graph.outputs:
        if index in first:
            last[index] = len(graph.ops)
    return [
        _Life(size=aligned_bytes(graph.tensors[index]), first=first[index], last=last[index])
        for index in sorted(first)
        if graph.tensors[index].constant is None and not graph.tensors[index].is_variable
    ]


def _planned(lives: list[_Life]) -> int:
    placed: list[tuple[int, _Life]] = []
    for life in sorted(lives, key=lambda each: (-each.size, each.first)):
        at = 0
        beside = sorted(
            (begin, begin + other.size)
            for begin, other in placed
            if other.first <= life.last and life.first <= other.last
        )
        for begin, end in beside:
            if at + life.size <= begin:
                break
            at = max(at, end)
        placed.append((at, life))
    return max((begin + life.size for begin, life in placed), default=0)
