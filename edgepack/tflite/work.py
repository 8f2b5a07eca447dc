"""What each op of a .tflite does, in the terms of `numerics.latency_model`."""

from __future__ import annotations

import math
from typing import Final

from edgepack.numerics import latency_model
from edgepack.numerics.latency_model import Work
from edgepack.tflite.model import NO_TENSOR, Model, Op, Subgraph

FREE: Final = frozenset({"RESHAPE", "SQUEEZE", "EXPAND_DIMS"})
"""Ops that only rename a tensor: the delegate takes them out."""
_ELEMENTWISE: Final = (
    "ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH", "LOGISTIC", "TANH",
    "QUANTIZE", "DEQUANTIZE", "PAD", "CONCATENATION", "SLICE", "STRIDED_SLICE", "TRANSPOSE", "SPLIT",
)  # fmt: skip
_KINDS: Final = {
    **dict.fromkeys(_ELEMENTWISE, latency_model.OTHER),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN"), "pool"),
    "SOFTMAX": "softmax",
}
"""Operator → kind; an operator that is not here is a kind of its own, which a table may lack."""


def works(model: Model) -> list[Work]:
    """The work of every op of the first subgraph, in order."""
    subgraph = model.subgraphs[0]
    return [_work(op, subgraph) for op in subgraph.ops if op.name not in FREE]


def _work(op: Op, subgraph: Subgraph) -> Work:
    tensors = [subgraph.tensors[index] for index in op.inputs if index != NO_TENSOR]
    shapes = [tensor.shape for tensor in tensors]
    read = sum(tensor.elements for tensor in tensors if tensor.constant is None)
    out = subgraph.tensors[op.outputs[0]].shape if op.outputs else ()
    positions, channels = math.prod(out[:-1]), (out[-1] if out else 1)
    if op.name == "CONV_2D":
        _, rows, columns, inputs = shapes[1]
        return latency_model.convolution(
            taps=rows * columns, inputs=inputs, outputs=channels, positions=positions, read=read
        )
    if op.name == "DEPTHWISE_CONV_2D":
        _, rows, columns, _ = shapes[1]
        return latency_model.depthwise(taps=rows * columns, channels=channels, positions=positions, read=read)
    if op.name == "FULLY_CONNECTED":
        outputs, inputs = shapes[1]
        return latency_model.dense(inputs=inputs, outputs=outputs, rows=max(1, positions))
    kind = _KINDS.get(op.name, op.name.lower())
    return Work(kind=kind, outputs=channels, positions=positions, reads=read)
