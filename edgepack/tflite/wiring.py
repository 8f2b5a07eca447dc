"""The main graph of a .tflite, editable, with what its ops mean spelled out: values, scales, weights, borders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.tflite.model import NUMPY_DTYPES, Array
from edgepack.tflite.opcodes import builtin_name
from edgepack.tflite.precheck import DTYPES

Integers = npt.NDArray[np.int64]
ABSENT: Final = -1
SAME: Final = 0
"""Padding that keeps the size, as the schema numbers it; 1 is VALID."""
CONVOLUTION, DEPTHWISE, DENSE = "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"
WEIGHTED: Final = frozenset({CONVOLUTION, DEPTHWISE, DENSE})


@dataclass(frozen=True, kw_only=True)
class Node:
    """One op: its number, built-in name ("" for a custom one), tensors, and the file's own object."""

    number: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operator: Any

    @property
    def options(self) -> Any:
        return self.operator.builtinOptions


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """A convolution or dense op whose arithmetic is known.

    Attributes:
      node: the op; its inputs are data, filter and perhaps bias.
      weights: [rows, taps, lanes]: rows are output channels, lanes input channels. Depthwise: [rows, taps, 1].
      bias: [rows]; zeros where there is none.
      padded: whether some taps may lie outside the picture, where they count nothing.
      integer: int8 arithmetic; else float32.
      input_zero, output_zero: zero points (0 for float).
      factor: [rows], input scale × weight scale / output scale (ones for float).
    """

    node: Node
    weights: Array
    bias: Array
    padded: bool
    integer: bool
    input_zero: int
    output_zero: int
    factor: npt.NDArray[np.float64]

    @property
    def depthwise(self) -> bool:
        return self.node.name == DEPTHWISE


class Wiring:
    """The main graph of a `ModelT` (see `schema.unpacked`), whose file `precheck.parse` found sound."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.graph = model.subgraphs[0]
        self.tensors: list[Any] = list(self.graph.tensors or ())
        self.nodes = tuple(self._node(number, op) for number, op in enumerate(self.graph.operators or ()))
        self.inputs = listed(self.graph.inputs)
        self.outputs = listed(self.graph.outputs)

    def _node(self, number: int, operator: Any) -> Node:
        code = self.model.operatorCodes[operator.opcodeIndex]
        name = builtin_name(max(code.builtinCode, code.deprecatedBuiltinCode)) or ""
        return Node(
            number=number,
            name="" if name == "CUSTOM" else name,
            inputs=listed(operator.inputs),
            outputs=listed(operator.outputs),
            operator=operator,
        )

    def shape(self, index: int) -> tuple[int, ...]:
        return listed(self.tensors[index].shape)

    def dtype(self, index: int) -> str:
        return DTYPES[self.tensors[index].type]

    def title(self, node: Node) -> str:
        """The op as a person finds it: by the name of its output."""
        name = self.tensors[node.outputs[0]].name if node.outputs else None
        return name.decode("utf-8", "replace").split(";")[0] if name else f"op {node.number} ({node.name})"

    def value(self, index: int) -> Array | None:
        """Stored numbers of a constant, None where it is computed or stored in another way than plainly."""
        tensor = self.tensors[index]
        data = self.model.buffers[tensor.buffer].data
        dtype = self.dtype(index)
        plain = dtype in NUMPY_DTYPES and dtype not in ("int4", "uint4", "int2")
        if data is None or not len(data) or tensor.sparsity is not None or not plain:
            return None
        stored: Array = np.asarray(data, np.uint8).view(np.dtype(NUMPY_DTYPES[dtype]).newbyteorder("<"))
        return stored.reshape(self.shape(index))

    def grid(self, index: int) -> tuple[npt.NDArray[np.float64], Integers] | None:
        """Scales and zero points of a quantized tensor."""
        quantization = self.tensors[index].quantization
        if quantization is None or quantization.scale is None or not len(quantization.scale):
            return None
        zeros = quantization.zeroPoint
        scale = np.asarray(quantization.scale, np.float64)
        return scale, np.zeros(len(scale), np.int64) if zeros is None else np.asarray(zeros, np.int64)

    def one_grid(self, index: int) -> tuple[float, int] | None:
        """Scale and zero point of an int8 activation, None for anything else."""
        grid = self.grid(index)
        if grid is None or self.dtype(index) != "int8" or len(grid[0]) != 1 or not grid[0][0] > 0:
            return None
        return float(grid[0][0]), int(grid[1][0])

    def weighted(self, node: Node) -> Weighted | str:
        """The arithmetic of a convolution or dense op, or why it is not treated."""
        if len(node.inputs) < 2 or len(node.outputs) != 1 or min(node.inputs[:2]) < 0 or node.options is None:
            return "an unusual form"
        data, kernel = node.inputs[:2]
        bias_index = node.inputs[2] if len(node.inputs) > 2 else ABSENT
        weights = self.value(kernel)
        bias = self.value(bias_index) if bias_index != ABSENT else None
        if weights is None or (bias_index != ABSENT and bias is None):
            return "weights that are computed, or stored compressed"
        shaped = self._rows_taps_lanes(node, weights)
        if shaped is None:
            return "groups, a channel multiplier or an unusual layout"
        rows = shaped.shape[0]
        if bias is not None and bias.shape != (rows,):
            return "an unusual bias"
        types = (self.dtype(data), self.dtype(kernel), self.dtype(node.outputs[0]))
        padded = self._padded(node)
        if types == ("float32",) * 3:
            return Weighted(
                node=node,
                weights=shaped,
                bias=np.zeros(rows, np.float32) if bias is None else bias,
                padded=padded,
                integer=False,
                input_zero=0,
                output_zero=0,
                factor=np.ones(rows),
            )
        before, after, scales = self.one_grid(data), self.one_grid(node.outputs[0]), self.grid(kernel)
        if types != ("int8",) * 3 or before is None or after is None or scales is None:
            return f"{types[0]} arithmetic with {types[1]} weights"
        if (
            scales[1].any()
            or len(scales[0]) not in (1, rows)
            or (bias is not None and bias.dtype != np.int32)
        ):
            return "weights with zero points, or an unusual bias"
        return Weighted(
            node=node,
            weights=shaped,
            padded=padded,
            bias=np.zeros(rows, np.int64) if bias is None else bias.astype(np.int64),
            integer=True,
            input_zero=before[1],
            output_zero=after[1],
            factor=np.broadcast_to(before[0] * scales[0] / after[0], (rows,)).astype(np.float64),
        )

    def _rows_taps_lanes(self, node: Node, weights: Array) -> Array | None:
        """The kernel as [rows, taps, lanes]; None where lanes and the input's channels do not match."""
        entering, leaving = self.shape(node.inputs[0]), self.shape(node.outputs[0])
        if not entering or not leaving or not weights.size:
            return None
        if node.name == CONVOLUTION and weights.ndim == 4 and weights.shape[3] == entering[-1]:
            shaped = weights.reshape(weights.shape[0], -1, weights.shape[3])
        elif (
            node.name == DEPTHWISE
            and weights.ndim == 4
            and weights.shape[3] in (entering[-1], entering[-1] * leaving[-1])
        ):
            shaped = weights.reshape(-1, weights.shape[3]).T[:, :, None]
        elif (
            node.name == DENSE
            and weights.ndim == 2
            and not weights.shape[1] % entering[-1]
            and not node.options.weightsFormat
        ):
            shaped = weights.reshape(weights.shape[0], -1, entering[-1])
        else:
            return None
        return shaped if shaped.shape[0] == leaving[-1] else None

    def _padded(self, node: Node) -> bool:
        if node.name == DENSE:
            return False
        options, kernel = node.options, self.shape(node.inputs[1])
        dilation = (options.dilationHFactor, options.dilationWFactor)
        extents = [(size - 1) * wide + 1 for size, wide in zip(kernel[1:3], dilation, strict=True)]
        return self.overhangs(node, extents)

    def overhangs(self, node: Node, extents: list[int]) -> bool:
        """Whether a window of these extents (height, width) reaches over the border of the op's input."""
        options, shape = node.options, self.shape(node.inputs[0])
        if options.padding != SAME or max(extents) <= 1:
            return False
        signature = listed(self.tensors[node.inputs[0]].shapeSignature) or shape
        if len(shape) != 4 or min(options.strideH, options.strideW) < 1 or -1 in signature[1:3]:
            return True  # sizes that only the run will tell
        strides = (options.strideH, options.strideW)
        reach = [
            (math.ceil(size / stride) - 1) * stride + extent - size
            for size, stride, extent in zip(shape[1:3], strides, extents, strict=True)
        ]
        return bool(max(reach) > 0)


def listed(numbers: Any) -> tuple[int, ...]:
    return () if numbers is None else tuple(int(number) for number in numbers)
