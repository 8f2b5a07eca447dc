"""Tiny .tflite files built tensor by tensor, so that tests need no TensorFlow and no real models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int8": schema.TensorType.INT8,
    "int32": schema.TensorType.INT32,
}


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One tensor: batch first in `shape`; scale 0 where not quantized; free: axes that may be resized."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    scale: float = 0.0
    zero_point: int = 0
    free: tuple[int, ...] = ()


def write(
    target: Path,
    wires: Sequence[Wire],
    operators: Sequence[tuple[str, Sequence[int], Sequence[int]]],
    inputs: Sequence[int],
    outputs: Sequence[int],
    signature: tuple[Mapping[str, int], Mapping[str, int]] | None = None,
) -> Path:
    """Writes a model of built-in operators (name, input tensors, output tensors)."""
    model = schema.ModelT()
    model.version = 3
    model.buffers = [schema.BufferT()]
    names = sorted({name for name, _, _ in operators})
    model.operatorCodes = [_code(name) for name in names]
    graph = schema.SubGraphT()
    graph.tensors = [_tensor(wire) for wire in wires]
    graph.inputs, graph.outputs = list(inputs), list(outputs)
    graph.operators = [_operator(names.index(name), name, ins, outs) for name, ins, outs in operators]
    model.subgraphs = [graph]
    if signature is not None:
        model.signatureDefs = [_signature(*signature)]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    target.write_bytes(bytes(builder.Output()))
    return target


def quantizer(target: Path, *, scale: float, zero_point: int, size: int = 64) -> Path:
    """float32 [1, size] → QUANTIZE → int8: TFLite's own opinion on rounding."""
    wires = [
        Wire(name="x", shape=(1, size)),
        Wire(name="q", shape=(1, size), dtype="int8", scale=scale, zero_point=zero_point),
    ]
    return write(target, wires, [("QUANTIZE", [0], [1])], [0], [1])


def difference(
    target: Path,
    *,
    first: str = "a",
    second: str = "b",
    signed: bool = True,
    batch: int = 1,
    free: tuple[int, ...] = (),
) -> Path:
    """first − second, [batch, 3]; the file lists `second` before `first`, as the converter may."""
    shape = (batch, 3)
    wires = [
        Wire(name=f"serving_default_{second}:0", shape=shape, free=free),
        Wire(name=f"serving_default_{first}:0", shape=shape, free=free),
        Wire(name="StatefulPartitionedCall:0", shape=shape, free=free),
    ]
    signature = ({first: 1, second: 0}, {"difference": 2}) if signed else None
    return write(target, wires, [("SUB", [1, 0], [2])], [0, 1], [2], signature)


def doubled_ids(target: Path) -> Path:
    """int32 ids [1, 2] + themselves."""
    wires = [Wire(name="ids", shape=(1, 2), dtype="int32"), Wire(name="sum", shape=(1, 2), dtype="int32")]
    return write(target, wires, [("ADD", [0, 0], [1])], [0], [1], ({"ids": 0}, {"sum": 1}))


def _code(name: str) -> schema.OperatorCodeT:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, name)
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = 1
    return code


def _tensor(wire: Wire) -> schema.TensorT:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = wire.name, list(wire.shape), TYPES[wire.dtype], 0
    if wire.free:
        tensor.shapeSignature = [-1 if axis in wire.free else size for axis, size in enumerate(wire.shape)]
    if wire.scale:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [wire.scale], [wire.zero_point]
    return tensor


def _operator(code: int, name: str, inputs: Sequence[int], outputs: Sequence[int]) -> schema.OperatorT:
    operator = schema.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, list(inputs), list(outputs)
    options = {"SUB": "SubOptions", "ADD": "AddOptions", "QUANTIZE": "QuantizeOptions"}[name]
    operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
    operator.builtinOptions = getattr(schema, f"{options}T")()
    return operator


def _signature(inputs: Mapping[str, int], outputs: Mapping[str, int]) -> schema.SignatureDefT:
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = "serving_default", 0
    signature.inputs = [_entry(name, index) for name, index in inputs.items()]
    signature.outputs = [_entry(name, index) for name, index in outputs.items()]
    return signature


def _entry(name: str, index: int) -> schema.TensorMapT:
    entry = schema.TensorMapT()
    entry.name, entry.tensorIndex = name, index
    return entry
