"""Small .tflite files made by hand with the generated schema, so that tests need neither TensorFlow nor a
model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int16": 7, "int8": 9, "int4": 17}


@dataclass
class Handmade:
    """A graph under construction: add tensors and ops, then `to_bytes`."""

    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=lambda: [schema.BufferT()])
    ops: list[Any] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str = "int8",
        *,
        scale: Any = None,
        zero_point: Any = None,
        axis: int = 0,
        value: Any = None,
    ) -> int:
        made = schema.TensorT()
        made.name, made.shape, made.type, made.buffer = name.encode(), list(shape), TYPES[dtype], 0
        if scale is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = np.atleast_1d(np.asarray(scale, np.float32))
            zeros = np.zeros(made.quantization.scale.size) if zero_point is None else zero_point
            made.quantization.zeroPoint = np.atleast_1d(np.asarray(zeros, np.int64))
            made.quantization.quantizedDimension = axis
        if value is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
            self.buffers.append(buffer)
            made.buffer = len(self.buffers) - 1
        self.tensors.append(made)
        return len(self.tensors) - 1

    def op(self, name: str, inputs: list[int], outputs: list[int]) -> None:
        code = getattr(schema.BuiltinOperator, name)
        if code not in self.codes:
            self.codes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = self.codes.index(code), inputs, outputs
        self.ops.append(made)

    def to_bytes(self, inputs: list[int], outputs: list[int]) -> bytes:
        graph = schema.SubGraphT()
        graph.tensors, graph.operators, graph.inputs, graph.outputs = self.tensors, self.ops, inputs, outputs
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], self.buffers, []
        for code in self.codes:
            entry = schema.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode, entry.version = code, min(code, 127), 1
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def per_channel(kernel: np.ndarray[Any, Any], axis: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Kernel as the converter quantizes it: int8 in ±127 with one scale per slice along `axis`."""
    others = tuple(number for number in range(kernel.ndim) if number != axis)
    peak = np.abs(kernel).max(axis=others)
    scale = np.where(peak > 0, peak, 1.0) / 127.0
    shape = [1] * kernel.ndim
    shape[axis] = -1
    return np.round(kernel / scale.reshape(shape)).astype(np.int8), scale.astype(np.float32)


def dense(kernel: np.ndarray[Any, Any]) -> bytes:
    """One FULLY_CONNECTED whose weights are a Keras Dense kernel [in, out], int8 per channel."""
    graph = Handmade()
    width, units = kernel.shape
    stored, scale = per_channel(kernel.T, 0)
    data = graph.tensor("x", (1, width), scale=0.1, zero_point=0)
    weights = graph.tensor("tfl.pseudo_qconst", (units, width), scale=scale, value=stored)
    result = graph.tensor("y", (1, units), scale=0.2, zero_point=3)
    graph.op("FULLY_CONNECTED", [data, weights, -1], [result])
    return graph.to_bytes([data], [result])
