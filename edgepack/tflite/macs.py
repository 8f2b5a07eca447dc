"""Work and parameters of a .tflite, from its shapes alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from edgepack.tflite.model import NO_TENSOR, Model, Op, Subgraph, Tensor
from edgepack.tflite.sizes import is_weight

CALLING_OPS: Final = frozenset({"CALL", "CALL_ONCE", "IF", "WHILE"})


def macs(model: Model) -> int:
    """Multiply-adds of one inference at the stored shapes, a free dimension counted as stored (1).

    Counted are the ops that are sums of products: convolutions, fully connected, matrix products,
    recurrences, SVDF. Element-wise ops are not. The body of a WHILE counts once, because its number of turns
    is not in the file: see `loops`.
    """
    return sum(_op_macs(op, subgraph) for subgraph in model.subgraphs for op in subgraph.ops)


def op_macs(model: Model) -> list[int]:
    """Multiply-adds of each op of the main subgraph, in order; counted as in `macs`."""
    return [_op_macs(op, model.main) for op in model.main.ops]


def loops(model: Model) -> bool:
    """Whether the model has WHILE ops, so that `macs` is a lower bound."""
    return any(op.name == "WHILE" for subgraph in model.subgraphs for op in subgraph.ops)


def parameters(model: Model) -> int:
    """Constants that take part in the arithmetic (kernels, biases, tables), each stored one counted once."""
    counted: dict[int, int] = {}
    for _, tensor in model.constants():
        if is_weight(tensor.dtype, tensor.quantization is not None):
            assert tensor.constant is not None
            counted[tensor.constant] = max(counted.get(tensor.constant, 0), tensor.elements)
    return sum(counted.values())


def _op_macs(op: Op, subgraph: Subgraph) -> int:
    rule = _RULES.get(op.name)
    if rule is None:
        return 0
    inputs = [None if index == NO_TENSOR else subgraph.tensors[index] for index in op.inputs]
    outputs = [subgraph.tensors[index] for index in op.outputs]
    return rule(inputs, outputs)


Inputs = list["Tensor | None"]


def _shape(inputs: Inputs, number: int) -> tuple[int, ...]:
    tensor = inputs[number] if number < len(inputs) else None
    return tensor.shape if tensor is not None else ()


def _convolution(inputs: Inputs, outputs: list[Tensor]) -> int:
    return outputs[0].elements * math.prod(_shape(inputs, 1)[1:])  # OHWI: everything but O per output value


def _depthwise(inputs: Inputs, outputs: list[Tensor]) -> int:
    return outputs[0].elements * math.prod(_shape(inputs, 1)[1:3])  # 1HWC


def _transposed(inputs: Inputs, outputs: list[Tensor]) -> int:
    return math.prod(_shape(inputs, 2)) * math.prod(
        _shape(inputs, 1)[:3]
    )  # every input value meets O·H·W weights


def _convolution_3d(inputs: Inputs, outputs: list[Tensor]) -> int:
    return outputs[0].elements * math.prod(_shape(inputs, 1)[:4])  # DHWIO


def _transposed_3d(inputs: Inputs, outputs: list[Tensor]) -> int:
    return math.prod(_shape(inputs, 2)) * math.prod(_shape(inputs, 1)[:4])  # DHWOI


def _fully_connected(inputs: Inputs, outputs: list[Tensor]) -> int:
    return outputs[0].elements * (_shape(inputs, 1) or (0,))[-1]


def _matrix_product(inputs: Inputs, outputs: list[Tensor]) -> int:
    left, result = _shape(inputs, 0), outputs[0].shape
    if len(left) < 2 or len(result) < 2 or not result[-2]:
        return 0
    return outputs[0].elements * (left[-2] * left[-1] // result[-2])  # holds for either operand transposed


def _recurrence(inputs: Inputs, outputs: list[Tensor]) -> int:
    data = _shape(inputs, 0)
    steps = math.prod(data[:-1]) if data else 0  # batch × time, in either order
    weights = (tensor for tensor in inputs[1:] if tensor is not None and tensor.constant is not None)
    return steps * sum(tensor.elements for tensor in weights if len(tensor.shape) == 2)


_RULES: Final[dict[str, Callable[[Inputs, list[Tensor]], int]]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "CONV_3D": _convolution_3d,
    "CONV_3D_TRANSPOSE": _transposed_3d,
    "FULLY_CONNECTED": _fully_connected,
    "BATCH_MATMUL": _matrix_product,
    "LSTM": _recurrence,
    "RNN": _recurrence,
    "SVDF": _recurrence,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _recurrence,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _recurrence,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _recurrence,
    "BIDIRECTIONAL_SEQUENCE_RNN": _recurrence,
}
