"""Which ops of a .tflite compute, and in which arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from edgepack.tflite.model import NO_TENSOR, Model, Op, Subgraph

FLOATS: Final = frozenset({"float32", "float16", "bfloat16", "float64"})
MOVING: Final = frozenset(
    {
        "ASSIGN_VARIABLE", "BROADCAST_TO", "CALL", "CALL_ONCE", "CAST", "CONCATENATION", "DEQUANTIZE",
        "EMBEDDING_LOOKUP", "EXPAND_DIMS", "FILL", "GATHER", "GATHER_ND", "IDENTITY", "IF", "PACK", "PAD", "PADV2",
        "QUANTIZE", "RANGE", "RANK", "READ_VARIABLE", "RESHAPE", "REVERSE_V2", "SHAPE", "SLICE", "SPLIT", "SPLIT_V",
        "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK", "VAR_HANDLE", "WHILE",
    }
)  # fmt: skip
"""Ops that carry values from place to place or between types; float ones stand on the border of an integer
model."""
FUSED_STATEFUL: Final = frozenset(
    {
        "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_LSTM",
        "BIDIRECTIONAL_SEQUENCE_RNN", "LSTM", "RNN", "SVDF",
    }
)  # fmt: skip

CELL_STATE: Final = 19
"""Input number of the cell state, in lstm ops."""
SMALLEST: Final = 2.0**-15 * 0.999


def operators(model: Model) -> dict[str, int]:
    """Op names with how often each stands in the file, sorted; custom and TensorFlow ops under their own
    names."""
    return dict(sorted(Counter(op.name for _, op in _ops(model)).items()))


def foreign_ops(model: Model) -> tuple[str, ...]:
    """Ops that are not TFLite's built-in ones, such as "FlexErf"."""
    return tuple(sorted({op.name for _, op in _ops(model) if op.custom}))


def computing_float_ops(model: Model) -> dict[str, int]:
    """Ops that compute with floats, with how often: {} for a full-integer model, whatever its inputs and
    outputs are.

    An op computes with floats when it is no mere carrier (`MOVING`) and any tensor that it reads or writes is
    float.
    """
    found = Counter(
        op.name for subgraph, op in _ops(model) if op.name not in MOVING and _touches_floats(subgraph, op)
    )
    return dict(sorted(found.items()))


def saturated_recurrences(model: Model) -> tuple[str, ...]:
    """Names of the outputs of fused int8 LSTMs that every runtime computes wrongly.

    Their kernel keeps the cell state in 16 bits with a power-of-two scale and has no tanh for scales below
    2^-15, which the converter picks when the state stays within ±0.5: all outputs then stick at the limits.
    """
    found = []
    for subgraph, op in _ops(model):
        if op.name == "UNIDIRECTIONAL_SEQUENCE_LSTM" and len(op.inputs) > CELL_STATE:
            state = subgraph.tensors[op.inputs[CELL_STATE]]
            if (
                state.dtype == "int16"
                and state.quantization is not None
                and state.quantization.scale[0] < SMALLEST
            ):
                found.append(subgraph.tensors[op.outputs[0]].name)
    return tuple(found)


def stateful(model: Model) -> bool:
    """Whether something is kept between invokes, so that variables must be reset between samples."""
    if any(op.name in FUSED_STATEFUL for _, op in _ops(model)):
        return True
    return any(tensor.is_variable for subgraph in model.subgraphs for tensor in subgraph.tensors)


def _ops(model: Model) -> Iterator[tuple[Subgraph, Op]]:
    for subgraph in model.subgraphs:
        for op in subgraph.ops:
            yield subgraph, op


def _touches_floats(subgraph: Subgraph, op: Op) -> bool:
    indices = (index for index in (*op.inputs, *op.outputs) if index != NO_TENSOR)
    return any(subgraph.tensors[index].dtype in FLOATS for index in indices)
