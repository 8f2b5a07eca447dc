"""Int8 graphs written by hand, op after op, with weights drawn: what latencies are measured on. Needs no TensorFlow."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.tflite.writing import written

Array = npt.NDArray[Any]
SAME, VALID = 0, 1
READ_SCALE, WRITE_SCALE, WEIGHT_SCALE = 0.05, 0.05, 0.01
VERSIONS: Final = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "SOFTMAX": 2, "RESHAPE": 1}
"""Of ops with int8 inputs; 2 for the others."""


class Handwritten:
    """A graph under construction; every method adds an op and returns the tensor it writes."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self._schema = schema
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [schema.BufferT()]
        self._ops: list[Any] = []
        self._codes: list[str] = []
        self._inputs: list[int] = []
        self._random = np.random.default_rng(0)

    def input(self, *shape: int, scale: float = READ_SCALE) -> int:
        """A tensor that is fed, of shape [1, …]."""
        self._inputs.append(self._tensor((1, *shape), scale))
        return self._inputs[-1]

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(int(size) for size in self._tensors[tensor].shape)

    def convolution(self, read: int, outputs: int, *, kernel: int, stride: int = 1) -> int:
        """CONV_2D, SAME."""
        options = self._schema.Conv2DOptionsT()
        options.padding, options.strideW, options.strideH = SAME, stride, stride
        weights = (outputs, kernel, kernel, self.shape(read)[-1])
        return self._weighted("CONV_2D", options, read, weights, self._strided(read, stride, outputs))

    def depthwise(self, read: int, *, kernel: int, stride: int = 1) -> int:
        """DEPTHWISE_CONV_2D, SAME, as many channels out as in."""
        channels = self.shape(read)[-1]
        options = self._schema.DepthwiseConv2DOptionsT()
        options.padding, options.strideW, options.strideH, options.depthMultiplier = SAME, stride, stride, 1
        weights = (1, kernel, kernel, channels)
        out = self._strided(read, stride, channels)
        return self._weighted("DEPTHWISE_CONV_2D", options, read, weights, out)

    def dense(self, read: int, outputs: int) -> int:
        """FULLY_CONNECTED on one row."""
        options = self._schema.FullyConnectedOptionsT()
        weights = (outputs, math.prod(self.shape(read)[1:]))
        return self._weighted("FULLY_CONNECTED", options, read, weights, (1, outputs))

    def add(self, one: int, other: int) -> int:
        """ADD of two maps of the same shape."""
        return self._op("ADD", self._schema.AddOptionsT(), [one, other], self.shape(one))

    def average_pool(self, read: int, *, window: int) -> int:
        """AVERAGE_POOL_2D over windows that do not overlap."""
        _, side, _, channels = self.shape(read)
        options = self._schema.Pool2DOptionsT()
        options.padding = VALID
        options.strideW = options.strideH = options.filterWidth = options.filterHeight = window
        return self._op("AVERAGE_POOL_2D", options, [read], (1, side // window, side // window, channels))

    def flatten(self, read: int) -> int:
        """RESHAPE to one row."""
        size = math.prod(self.shape(read)[1:])
        wanted = self._constant(np.array([1, size], np.int32), 0.0)
        return self._op("RESHAPE", self._schema.ReshapeOptionsT(), [read, wanted], (1, size))

    def softmax(self, read: int) -> int:
        """SOFTMAX of one row."""
        options = self._schema.SoftmaxOptionsT()
        options.beta = 1.0
        return self._op("SOFTMAX", options, [read], self.shape(read), scale=1 / 256, zero=-128)

    def file(self, output: int) -> bytes:
        """The .tflite with `output` as its output."""
        graph, model = self._schema.SubGraphT(), self._schema.ModelT()
        graph.tensors, graph.operators = self._tensors, self._ops
        graph.inputs, graph.outputs = np.array(self._inputs, np.int32), np.array([output], np.int32)
        model.version, model.subgraphs, model.buffers = 3, [graph], self._buffers
        model.operatorCodes = [self._code(name) for name in self._codes]
        return written(model, sum(0 if each.data is None else len(each.data) for each in self._buffers))

    def _strided(self, read: int, stride: int, channels: int) -> tuple[int, ...]:
        _, rows, columns, _ = self.shape(read)
        return (1, -(-rows // stride), -(-columns // stride), channels)

    def _weighted(
        self, name: str, options: Any, read: int, shape: tuple[int, ...], out: tuple[int, ...]
    ) -> int:
        codes = self._random.integers(-127, 128, shape, dtype=np.int8)
        weights = self._constant(codes, WEIGHT_SCALE)
        bias = self._constant(np.zeros(out[-1], np.int32), READ_SCALE * WEIGHT_SCALE)
        return self._op(name, options, [read, weights, bias], out)

    def _op(
        self,
        name: str,
        options: Any,
        inputs: list[int],
        out: tuple[int, ...],
        *,
        scale: float = WRITE_SCALE,
        zero: int = 0,
    ) -> int:
        if name not in self._codes:
            self._codes.append(name)
        op, result = self._schema.OperatorT(), self._tensor(out, scale, zero=zero)
        op.opcodeIndex = self._codes.index(name)
        op.inputs, op.outputs = np.array(inputs, np.int32), np.array([result], np.int32)
        kind = type(options).__name__.removesuffix("T")
        op.builtinOptionsType, op.builtinOptions = getattr(self._schema.BuiltinOptions, kind), options
        self._ops.append(op)
        return result

    def _code(self, name: str) -> Any:
        code = self._schema.OperatorCodeT()
        code.builtinCode = getattr(self._schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = VERSIONS.get(name, 2)
        return code

    def _constant(self, value: Array, scale: float) -> int:
        made = self._tensor(value.shape, scale, dtype="INT8" if value.dtype == np.int8 else "INT32")
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(value.tobytes(), np.uint8)
        self._buffers.append(buffer)
        self._tensors[made].buffer = len(self._buffers) - 1
        return made

    def _tensor(self, shape: tuple[int, ...], scale: float, *, zero: int = 0, dtype: str = "INT8") -> int:
        made = self._schema.TensorT()
        made.shape, made.name = np.array(shape, np.int32), f"t{len(self._tensors)}"
        made.type = getattr(self._schema.TensorType, dtype)
        if scale:
            made.quantization = self._schema.QuantizationParametersT()
            made.quantization.scale = np.array([scale], np.float32)
            made.quantization.zeroPoint = np.array([zero], np.int64)
        self._tensors.append(made)
        return len(self._tensors) - 1
