"""Which ops of a .tflite compute, and in which arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from edgepack.tflite.model import NO_TENSOR, Model, Op, Subgraph, Tensor

FLOATS: Final = frozenset({"float32", "float16", "bfloat16", "float64"})
MOVING: Final = frozenset(
    {
        "ASSIGN_VARIABLE", "BROADCAST_TO", "CALL", "CALL_ONCE", "CAST", "CONCATENATION", "DEQUANTIZE",
        "EMBEDDING_LOOKUP", "EXPAND_DIMS", "FILL", "GATHER", "GATHER_ND", "IDENTITY", "IF", "PACK", "PAD",
        "PADV2", "QUANTIZE", "RANGE", "RANK", "READ_VARIABLE", "RESHAPE", "REVERSE_V2", "SHAPE", "SLICE",
        "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK", "VAR_HANDLE", "WHILE",
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

OUTPUT_STATE: Final = 18
CELL_STATE: Final = 19
"""Input numbers of the states, in LSTM ops."""
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


def broken_recurrences(model: Model) -> dict[str, str]:
    """Fused int8 LSTMs that convert well and then compute wrongly on every runtime: output name → why.

    Their kernel keeps the cell state in 16 bits with a power-of-two scale and has no tanh for scales below
    2^-15, which the converter picks when the state stays within ±0.5: all outputs then stick at the limits.
    And it writes its output in the output state's grid: where the converter gave the output another one (it
    does so before a concatenation, as in Bidirectional), every value is misread.
    """
    found = {}
    for subgraph, op in _ops(model):
        if op.name != "UNIDIRECTIONAL_SEQUENCE_LSTM" or len(op.inputs) <= CELL_STATE:
            continue
        output = subgraph.tensors[op.outputs[0]]
        cell, state = (subgraph.tensors[op.inputs[number]] for number in (CELL_STATE, OUTPUT_STATE))
        if cell.dtype == "int16" and cell.quantization is not None and cell.quantization.scale[0] < SMALLEST:
            found[output.name] = "its cell state is too small for the int8 kernel, which would saturate"
        elif output.dtype == "int8" and _grid(output) != _grid(state):
            found[output.name] = "its output has another scale than its state, so its values would be misread"
    return found


def _grid(tensor: Tensor) -> tuple[float, int] | None:
    quantization = tensor.quantization
    return None if quantization is None else (float(quantization.scale[0]), int(quantization.zero_point[0]))


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
