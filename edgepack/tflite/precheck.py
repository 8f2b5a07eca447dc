"""Checks an untrusted .tflite before any interpreter sees it, and reads it on the way.

Interpreters follow a file's indices blindly: of 500 damaged files tflite-runtime 2.14 crashed on 139. Here
every offset, index, size and quantization vector is checked in Python, where a bad one is an exception;
nothing is executed.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np

from edgepack import errors
from edgepack.tflite.flatbuffer import DamagedError, Table
from edgepack.tflite.model import NO_TENSOR, Array, Model, Op, Quantization, Signature, Subgraph, Tensor
from edgepack.tflite.opcodes import CUSTOM, builtin_name

MAX_BYTES = 1 << 31
MAX_RANK = 8
IDENTIFIER = b"TFL3"
DTYPES: Final = (
    "float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8",
    "float64", "complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2",
    "uint4", "float8_e4m3fn", "float8_e5m2",
)  # fmt: skip
"""By number, as in schema.fbs's TensorType."""
BITS: Final = {
    "float32": 32, "float16": 16, "int32": 32, "uint8": 8, "int64": 64, "bool": 8, "int16": 16,
    "complex64": 64, "int8": 8, "float64": 64, "complex128": 128, "uint64": 64, "uint32": 32, "uint16": 16,
    "int4": 4, "bfloat16": 16, "int2": 2, "uint4": 4, "float8_e4m3fn": 8, "float8_e5m2": 8,
}  # fmt: skip
OPTION_VECTORS: Final = {17: (0, "<i4"), 30: (0, "<i4"), 115: (0, "<f4")}
"""Op options that hold a list (Reshape, Squeeze, Bucketize): options type → slot and item dtype."""
NEEDED_INPUTS: Final = {
    "CONV_2D": 2, "DEPTHWISE_CONV_2D": 2, "FULLY_CONNECTED": 2, "BATCH_MATMUL": 2, "CONV_3D": 2,
    "TRANSPOSE_CONV": 3, "CONV_3D_TRANSPOSE": 3,
}  # fmt: skip
"""Ops that multiply → how many of their first inputs must be there."""
WITHOUT_RESULT: Final = frozenset(
    {"ASSIGN_VARIABLE", "CALL", "CALL_ONCE", "DELEGATE", "HASHTABLE_IMPORT", "IF", "WHILE"}
)
"""Ops that may be there for what they do and give no tensor; custom ones may, too."""


def checked(path: Path) -> Model:
    """Reads a .tflite that may be hostile.

    Raises:
      ModelError: not a .tflite, or a damaged one; names the file and what is wrong.
      StorageError: the file cannot be read.
    """
    try:
        size = path.stat().st_size
        if size >= MAX_BYTES:
            raise errors.ModelError(f"{path}: {size:,} bytes; a .tflite is at most {MAX_BYTES - 1:,}")
        data = path.read_bytes()
    except OSError as error:
        raise errors.StorageError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return parse(data)
    except DamagedError as error:
        raise errors.ModelError(f"{path}: not a sound .tflite: {error}") from None


def parse(data: bytes) -> Model:
    """The model in `data`.

    Raises:
      DamagedError: anything out of bounds, out of range or inconsistent.
    """
    if len(data) < 16 or data[4:8] != IDENTIFIER:
        raise DamagedError("it does not carry the TFL3 identifier")
    root = Table.root(data)
    version = root.scalar(0, "I")
    if version != 3:
        raise DamagedError(f"schema version {version}; expected 3")
    buffers = tuple(_buffer(table, data) for table in root.tables(4))
    codes = [_opcode(table) for table in root.tables(1)]
    subgraphs = tuple(_subgraph(table, codes, buffers) for table in root.tables(2))
    if not subgraphs or not buffers:
        raise DamagedError("it has no graph")
    entries = [(table.text(0) or "", table.scalar(1, "I")) for table in root.tables(6)]
    # Two may have one name, so not only what the dictionary keeps is checked.
    _within((at for _, at in entries), len(buffers), "a metadata entry names a buffer that does not exist")
    _within(root.numbers(5, "<i4"), len(buffers), "a metadata buffer does not exist")
    return Model(
        size_bytes=len(data),
        subgraphs=subgraphs,
        buffers=buffers,
        signatures=tuple(_signature(table, subgraphs) for table in root.tables(7)),
        metadata=dict(entries),
        description=root.text(3) or "",
    )


def _within(indices: Iterable[int], count: int, complaint: str, *, optional: bool = False) -> tuple[int, ...]:
    listed = tuple(int(index) for index in indices)
    lowest = -1 if optional else 0
    if any(not lowest <= index < count for index in listed):
        raise DamagedError(complaint)
    return listed


def _buffer(table: Table, data: bytes) -> Array:
    offset, size = table.scalar(1, "Q"), table.scalar(2, "Q")
    if offset > 1:  # written after the flatbuffer proper, for files near 2 GB
        if offset + size > len(data):
            raise DamagedError("a buffer lies outside the file")
        return np.frombuffer(data, np.uint8, count=size, offset=offset)
    return table.numbers(0, "u1")


def _opcode(table: Table) -> tuple[str, bool]:
    # Codes up to 127 stand in the old 8-bit field, higher ones only in the new.
    code = max(table.scalar(0, "b"), table.scalar(3, "i"))
    if code == CUSTOM:
        return table.text(1) or "unnamed custom op", True
    name = builtin_name(code)
    if name is None:
        raise DamagedError(f"operator code {code} is unknown")
    return name, False


def _subgraph(table: Table, codes: list[tuple[str, bool]], buffers: tuple[Array, ...]) -> Subgraph:
    tensors = tuple(_tensor(entry, number, buffers) for number, entry in enumerate(table.tables(0)))
    count = len(tensors)
    ops = tuple(_op(entry, codes, count) for entry in table.tables(3))
    return Subgraph(
        tensors=tensors,
        ops=ops,
        inputs=_within(table.numbers(1, "<i4"), count, "a graph input names a tensor that does not exist"),
        outputs=_within(table.numbers(2, "<i4"), count, "a graph output names a tensor that does not exist"),
    )


def _tensor(table: Table, index: int, buffers: tuple[Array, ...]) -> Tensor:
    code = table.scalar(1, "b")
    if not 0 <= code < len(DTYPES):
        raise DamagedError(f"tensor {index} has the unknown type {code}")
    dtype = DTYPES[code]
    stored_shape = table.numbers(0, "<i4")
    if stored_shape.size > MAX_RANK or (stored_shape < 0).any():
        raise DamagedError(f"tensor {index} has the impossible shape {stored_shape[:MAX_RANK].tolist()}")
    shape = tuple(stored_shape.tolist())
    signature = tuple(table.numbers(7, "<i4").tolist()) or shape
    number = table.scalar(2, "I")
    _within([number], len(buffers), f"tensor {index} names a buffer that does not exist")
    raw = buffers[number]
    sparse = table.table(6) is not None
    constant = number if raw.size and not sparse else None
    if constant is not None and dtype in BITS:
        elements = 1
        for size in shape:
            elements *= size
        expected = (elements * BITS[dtype] + 7) // 8
        if raw.size != expected:
            raise DamagedError(
                f"tensor {index} of shape {list(shape)} and type {dtype} holds {raw.size} bytes, "
                f"not {expected}"
            )
    return Tensor(
        index=index,
        name=table.text(3) or "",
        shape=shape,
        signature=signature if len(signature) == len(shape) else shape,
        dtype=dtype,
        quantization=_quantization(table.table(4), index, shape),
        constant=constant,
        is_variable=bool(table.scalar(5, "b")),
    )


def _quantization(table: Table | None, index: int, shape: tuple[int, ...]) -> Quantization | None:
    if table is None:
        return None
    table.numbers(0, "<f4"), table.numbers(1, "<f4")
    scale, zero_point = table.numbers(2, "<f4"), table.numbers(3, "<i8")
    axis = table.scalar(6, "i")
    if scale.size == 0:
        return None
    if zero_point.size not in (scale.size, 1):
        raise DamagedError(f"tensor {index} has {scale.size} scales but {zero_point.size} zero points")
    if not np.isfinite(scale).all():
        raise DamagedError(f"tensor {index} has a scale that is not a number")
    if len(shape) == 1 and axis != 0:
        axis = 0  # old converters give a bias the axis of its kernel; runtimes accept it
    if scale.size > 1 and not (0 <= axis < len(shape) and shape[axis] == scale.size):
        raise DamagedError(f"tensor {index} of shape {list(shape)} has {scale.size} scales along axis {axis}")
    if zero_point.size != scale.size:
        zero_point = np.repeat(zero_point, scale.size)
    return Quantization(scale=scale, zero_point=zero_point, axis=axis)


def _op(table: Table, codes: list[tuple[str, bool]], tensors: int) -> Op:
    (code,) = _within([table.scalar(0, "I")], len(codes), "an op names an operator code that does not exist")
    options = table.table(4)
    if options is not None:
        vector = OPTION_VECTORS.get(table.scalar(3, "B"))
        if vector is not None:
            options.numbers(*vector)
    table.numbers(5, "u1"), table.numbers(7, "u1"), table.table(12)
    name, custom = codes[code]
    where = f"op {name} names a tensor that does not exist"
    inputs = _within(table.numbers(1, "<i4"), tensors, where, optional=True)
    outputs = _within(table.numbers(2, "<i4"), tensors, where)
    needed = 0 if custom else NEEDED_INPUTS.get(name, 0)
    if len(inputs) < needed or NO_TENSOR in inputs[:needed]:
        raise DamagedError(f"op {name} lacks one of its first {needed} inputs")
    if not (outputs or custom or name in WITHOUT_RESULT or name.startswith("STABLEHLO_")):
        raise DamagedError(f"op {name} has no output")
    return Op(
        name=name,
        custom=custom,
        inputs=inputs,
        outputs=outputs,
        intermediates=_within(table.numbers(8, "<i4"), tensors, where, optional=True),
    )


def _signature(table: Table, subgraphs: tuple[Subgraph, ...]) -> Signature:
    (number,) = _within(
        [table.scalar(4, "I")], len(subgraphs), "a signature names a graph that does not exist"
    )
    count = len(subgraphs[number].tensors)

    def names(slot: int) -> dict[str, int]:
        found = {entry.text(0) or "": entry.scalar(1, "I") for entry in table.tables(slot)}
        _within(found.values(), count, "a signature names a tensor that does not exist")
        return found

    return Signature(key=table.text(2) or "", subgraph=number, inputs=names(0), outputs=names(1))
