"""Weights of few values as short indices into tables, decoded by TensorFlow Lite Micro as it runs.

A kernel of at most 2^b values is stored as one index of b bits for each weight, with its values in a table: one table for
a kernel with one scale, one for each output channel for a kernel with one scale for each. A custom operator "TFLM_DECODE"
before every reader puts the weights back together, in the arena. Only TensorFlow Lite Micro has that operator.

Format: tflite-micro, compression/decode.py and lut.py (packing, header), kernels/decode_state_lut.cc (what is read of it).
Decoders of before August 2026 take the number of tables from the scales of the decoded tensor, later ones from the header;
both read what is written here, because a table for each scale is the only form that is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.tflite.opcodes import CUSTOM, builtin_name
from edgepack.tflite.opened import opened
from edgepack.tflite.slimming import compact, may_renumber

Array = npt.NDArray[Any]
DECODE: Final = "TFLM_DECODE"
KERNEL_AT: Final = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "TRANSPOSE_CONV": 1}
"""Operators whose reference kernels read their weights while they run and not before, and which input those are."""
MAX_BITS: Final = 7
LUT_TYPE, HEADER_VERSION, LUT_VERSION, ONE_TABLE = 0, 1, 1, 15
HEADER_BYTES: Final = 16
READER_BYTES: Final = 160
"""About what an operator, its table's and its result's tensor take in the file."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One kernel that is stored by tables.

    Attributes:
      tensor: its number in the main graph of the original.
      reader: the operators that take it.
      weights: how many; they take as many bytes of RAM while their operator runs.
      bits: of an index.
      tables, values: number of tables, and entries of each.
      saved_bytes: weights less indices, tables and header.
    """

    tensor: int
    reader: str
    weights: int
    bits: int
    tables: int
    values: int
    saved_bytes: int


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A model with tables.

    Attributes:
      data: the file; the original's bytes where nothing is gained.
      tables: what was encoded; () where `reason` says why nothing was.
    """

    data: bytes
    tables: tuple[Table, ...]
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class _Code:
    table: Table
    indices: bytes
    header_and_values: bytes


def encoded(data: bytes) -> Encoded:
    """Stores by tables every kernel that gets smaller by it.

    Args:
      data: an int8 .tflite.

    Raises:
      DamagedError: not a sound .tflite.
    """
    found = opened(data)
    if isinstance(found, str):
        return Encoded(data=data, tables=(), reason=found)
    model = found.model
    if not may_renumber(model):
        return Encoded(data=data, tables=(), reason="its metadata number tensors, which tables would add to")
    codes = dict(_codes(model))
    if not codes:
        reason = f"no kernel has so few values that tables of up to {MAX_BITS} bits would save bytes"
        return Encoded(data=data, tables=(), reason=reason)
    _insert(model, codes)
    compact(model)
    made = found.closed()
    if len(made) >= len(data):
        return Encoded(data=data, tables=(), reason="the file would not get smaller")
    return Encoded(data=made, tables=tuple(code.table for code in codes.values()))


def _codes(model: Any) -> Iterator[tuple[int, _Code]]:
    """The kernels of the main graph that gain, by their tensors' numbers."""
    graph = model.subgraphs[0]
    readers = _readers(model)
    for number, names in sorted(readers.items()):
        tensor = graph.tensors[number]
        code = _code(model, number, tensor, "/".join(sorted(set(names))))
        if code is not None and code.table.saved_bytes > READER_BYTES * len(names):
            yield number, code


def _readers(model: Any) -> dict[int, list[str]]:
    """Tensors that are nothing but kernels, and whose bytes nothing else uses → names of their operators."""
    readers: dict[int, list[str]] = {}
    holders: dict[int, set[tuple[int, int]]] = {}
    barred: set[int] = set()
    for part, graph in enumerate(model.subgraphs):
        for number, tensor in enumerate(graph.tensors):
            holders.setdefault(tensor.buffer, set()).add((part, number))
        if part == 0:
            ends = (*_numbers(graph.inputs), *_numbers(graph.outputs))
            barred.update(ends)
    for op in model.subgraphs[0].operators:
        code = model.operatorCodes[op.opcodeIndex]
        name = builtin_name(max(code.builtinCode, code.deprecatedBuiltinCode)) or ""
        for place, number in enumerate(_numbers(op.inputs)):
            if KERNEL_AT.get(name) == place:
                readers.setdefault(number, []).append(name)
            else:
                barred.add(number)
    tensors = model.subgraphs[0].tensors
    return {
        number: names
        for number, names in readers.items()
        if number >= 0 and number not in barred and len(holders[tensors[number].buffer]) == 1
    }


def _code(model: Any, number: int, tensor: Any, reader: str) -> _Code | None:
    """A kernel by tables; None where it has too many values, or is no plain int8 constant."""
    from ai_edge_litert.schema_py_generated import TensorType

    content = model.buffers[tensor.buffer].data
    quantization = tensor.quantization
    if tensor.type != TensorType.INT8 or tensor.isVariable or tensor.sparsity is not None or content is None:
        return None
    if quantization is None or quantization.scale is None or not len(quantization.scale):
        return None
    shape = tuple(int(size) for size in tensor.shape)
    weights = np.frombuffer(bytes(content), np.int8)
    if not len(weights) or len(weights) != np.prod(shape):
        return None
    weights = weights.reshape(shape)
    axis = int(quantization.quantizedDimension) if len(quantization.scale) > 1 else None
    if axis not in (None, 0, len(shape) - 1):
        return None
    slices = (
        weights.reshape(1, -1) if axis is None else np.moveaxis(weights, axis, 0).reshape(shape[axis], -1)
    )
    tables = [np.unique(row) for row in slices]
    values = max(map(len, tables))
    bits = max(1, (values - 1).bit_length())
    if bits > MAX_BITS:
        return None
    found = np.stack([np.searchsorted(table, row) for table, row in zip(tables, slices, strict=True)])
    if axis is not None:
        found = np.moveaxis(found.reshape(shape[axis], *np.delete(shape, axis)), 0, axis)
    indices = packed(found.reshape(-1).astype(np.uint8), bits)
    padded = b"".join(np.pad(table, (0, values - len(table))).tobytes() for table in tables)
    header = bytes((LUT_TYPE, HEADER_VERSION, 0, 0, LUT_VERSION))
    header += bytes((((ONE_TABLE if axis is None else axis) << 4) | bits, values))
    rest = header.ljust(HEADER_BYTES, b"\0") + padded
    table = Table(
        tensor=number,
        reader=reader,
        weights=weights.size,
        bits=bits,
        tables=len(tables),
        values=values,
        saved_bytes=weights.size - len(indices) - len(rest),
    )
    return _Code(table=table, indices=indices, header_and_values=rest)


def packed(indices: npt.NDArray[np.uint8], bits: int) -> bytes:
    """Indices one after the other, the highest bit first, zeros behind the last.

    Example:
      >>> packed(np.array([7, 0, 3, 2], np.uint8), 3).hex()
      'e1a0'
    """
    each = np.unpackbits(indices[:, np.newaxis], axis=1)[:, 8 - bits :]
    return np.packbits(each.reshape(-1)).tobytes()


def _insert(model: Any, codes: dict[int, _Code]) -> None:
    """Puts a decoder before every operator that reads encoded kernels."""
    from ai_edge_litert import schema_py_generated as schema

    graph = model.subgraphs[0]
    model.operatorCodes.append(_operator_code(schema))
    decode = len(model.operatorCodes) - 1
    beside: dict[int, int] = {}
    result_of = {number: _result(schema, graph.tensors[number]) for number in codes}
    for number, code in codes.items():
        beside[number] = _bytes_tensor(model, graph, code.header_and_values, schema)
        _store(model, graph.tensors[number], code.indices, schema)
    operators = []
    for op in graph.operators:
        encoded_inputs = [number for number in dict.fromkeys(_numbers(op.inputs)) if number in codes]
        if encoded_inputs:
            results = {}
            for number in encoded_inputs:  # one for each reader: it holds until the next operator has run
                graph.tensors.append(result_of[number]())
                results[number] = len(graph.tensors) - 1
            decoder = schema.OperatorT()
            decoder.opcodeIndex = decode
            pairs = [each for number in encoded_inputs for each in (number, beside[number])]
            decoder.inputs = np.array(pairs, np.int32)
            decoder.outputs = np.array(list(results.values()), np.int32)
            operators.append(decoder)
            op.inputs = np.array([results.get(number, number) for number in _numbers(op.inputs)], np.int32)
        operators.append(op)
    graph.operators = operators


def _operator_code(schema: Any) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = CUSTOM
    code.customCode = DECODE
    code.version = 1
    return code


def _result(schema: Any, tensor: Any) -> Any:
    """Makes tensors that hold what `tensor` held, without a value of their own."""
    shape, kind, quantization = tensor.shape, tensor.type, tensor.quantization

    def make() -> Any:
        made = schema.TensorT()
        made.shape, made.type, made.quantization, made.buffer = shape, kind, quantization, 0
        return made

    return make


def _bytes_tensor(model: Any, graph: Any, content: bytes, schema: Any) -> int:
    tensor = schema.TensorT()
    _store(model, tensor, content, schema)
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _store(model: Any, tensor: Any, content: bytes, schema: Any) -> None:
    """Makes a tensor one of plain bytes, in a buffer of its own."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(content, np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1
    tensor.shape = np.array([len(content)], np.int32)
    tensor.shapeSignature = None
    tensor.type = schema.TensorType.UINT8
    tensor.quantization = None


def _numbers(indices: Any) -> list[int]:
    return [] if indices is None else [int(index) for index in indices]
