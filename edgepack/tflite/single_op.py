"""Int8 models of a single op, made by hand: what a table of latencies is measured on. Needs no TensorFlow."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.tflite.writing import written

Array = npt.NDArray[Any]
SAME: Final = 0
_INT8, _INT32 = 9, 2


class _Made:
    """A graph under construction."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.tensors: list[Any] = []
        self.buffers: list[Any] = [schema.BufferT()]

    def tensor(
        self, shape: tuple[int, ...], *, scale: float, zero: int = 0, value: Array | None = None
    ) -> int:
        made = self.schema.TensorT()
        made.shape, made.name = np.array(shape, np.int32), f"t{len(self.tensors)}"
        made.type = _INT8 if value is None or value.dtype == np.int8 else _INT32
        made.quantization = self.schema.QuantizationParametersT()
        made.quantization.scale = np.array([scale], np.float32)
        made.quantization.zeroPoint = np.array([zero], np.int64)
        if value is not None:
            buffer = self.schema.BufferT()
            buffer.data = np.frombuffer(value.tobytes(), np.uint8)
            self.buffers.append(buffer)
            made.buffer = len(self.buffers) - 1
        self.tensors.append(made)
        return len(self.tensors) - 1

    def indices(self, values: list[int]) -> int:
        made = self.schema.TensorT()
        value = np.array(values, np.int32)
        made.shape, made.name, made.type = np.array(value.shape, np.int32), f"t{len(self.tensors)}", _INT32
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(value.tobytes(), np.uint8)
        self.buffers.append(buffer)
        made.buffer = len(self.buffers) - 1
        self.tensors.append(made)
        return len(self.tensors) - 1

    def file(self, name: str, options: Any, inputs: list[int], output: int, fed: list[int]) -> bytes:
        schema = self.schema
        op, code, graph, model = (
            schema.OperatorT(),
            schema.OperatorCodeT(),
            schema.SubGraphT(),
            schema.ModelT(),
        )
        code.builtinCode = getattr(schema.BuiltinOperator, name)
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = _VERSIONS.get(name, 2)
        op.inputs, op.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            op.builtinOptionsType, op.builtinOptions = getattr(schema.BuiltinOptions, kind), options
        graph.tensors, graph.operators = self.tensors, [op]
        graph.inputs, graph.outputs = np.array(fed, np.int32), np.array([output], np.int32)
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], self.buffers, [code]
        return written(model, sum(0 if each.data is None else len(each.data) for each in self.buffers))


_VERSIONS: Final = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 4, "SOFTMAX": 2}


def convolution(side: int, inputs: int, outputs: int, *, kernel: int, stride: int = 1) -> bytes:
    """CONV_2D, SAME, on a map of side × side × inputs."""
    made = _Made()
    out = -(-side // stride)
    read = made.tensor((1, side, side, inputs), scale=0.05)
    weights = made.tensor(
        (outputs, kernel, kernel, inputs), scale=0.01, value=_codes((outputs, kernel, kernel, inputs))
    )
    bias = made.tensor((outputs,), scale=0.0005, value=np.zeros(outputs, np.int32))
    result = made.tensor((1, out, out, outputs), scale=0.1)
    options = made.schema.Conv2DOptionsT()
    options.padding, options.strideW, options.strideH = SAME, stride, stride
    return made.file("CONV_2D", options, [read, weights, bias], result, [read])


def depthwise(side: int, channels: int, *, kernel: int, stride: int = 1) -> bytes:
    """DEPTHWISE_CONV_2D, SAME, on a map of side × side × channels."""
    made = _Made()
    out = -(-side // stride)
    read = made.tensor((1, side, side, channels), scale=0.05)
    weights = made.tensor(
        (1, kernel, kernel, channels), scale=0.01, value=_codes((1, kernel, kernel, channels))
    )
    bias = made.tensor((channels,), scale=0.0005, value=np.zeros(channels, np.int32))
    result = made.tensor((1, out, out, channels), scale=0.1)
    options = made.schema.DepthwiseConv2DOptionsT()
    options.padding, options.strideW, options.strideH, options.depthMultiplier = SAME, stride, stride, 1
    return made.file("DEPTHWISE_CONV_2D", options, [read, weights, bias], result, [read])


def dense(inputs: int, outputs: int) -> bytes:
    """FULLY_CONNECTED on one row."""
    made = _Made()
    read = made.tensor((1, inputs), scale=0.05)
    weights = made.tensor((outputs, inputs), scale=0.01, value=_codes((outputs, inputs)))
    bias = made.tensor((outputs,), scale=0.0005, value=np.zeros(outputs, np.int32))
    result = made.tensor((1, outputs), scale=0.1)
    options = made.schema.FullyConnectedOptionsT()
    return made.file("FULLY_CONNECTED", options, [read, weights, bias], result, [read])


def add(side: int, channels: int) -> bytes:
    """ADD of two maps of side × side × channels."""
    made = _Made()
    shape = (1, side, side, channels)
    one, other = made.tensor(shape, scale=0.05), made.tensor(shape, scale=0.04)
    result = made.tensor(shape, scale=0.1)
    return made.file("ADD", made.schema.AddOptionsT(), [one, other], result, [one, other])


def average_pool(side: int, channels: int, *, window: int) -> bytes:
    """AVERAGE_POOL_2D over windows that do not overlap."""
    made = _Made()
    read = made.tensor((1, side, side, channels), scale=0.05)
    out = side // window
    result = made.tensor((1, out, out, channels), scale=0.05)
    options = made.schema.Pool2DOptionsT()
    options.padding = 1
    options.strideW = options.strideH = options.filterWidth = options.filterHeight = window
    return made.file("AVERAGE_POOL_2D", options, [read], result, [read])


def softmax(values: int) -> bytes:
    """SOFTMAX of one row."""
    made = _Made()
    read = made.tensor((1, values), scale=0.1)
    result = made.tensor((1, values), scale=1 / 256, zero=-128)
    options = made.schema.SoftmaxOptionsT()
    options.beta = 1.0
    return made.file("SOFTMAX", options, [read], result, [read])


def _codes(shape: tuple[int, ...]) -> Array:
    """Weights of all sizes, the same in every run."""
    return np.random.default_rng(0).integers(-127, 128, shape, dtype=np.int8)
