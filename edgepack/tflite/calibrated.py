"""The converter's float model between its two steps, calibration and quantization: ranges and constants to edit.

Only floats are changed here: the converter's quantizer derives every integer from them afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.tflite.opcodes import builtin_name
from edgepack.tflite.schema import unpacked
from edgepack.tflite.writing import written

Array = npt.NDArray[Any]
CUTTERS = frozenset({"SLICE", "SPLIT", "SPLIT_V", "STRIDED_SLICE", "GATHER", "UNPACK"})
WEIGHTED: Final = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
FLOAT32: Final = 0
"""`TensorType.FLOAT32` of the schema."""


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """One convolution or fully connected op with a constant kernel.

    Attributes:
      op: number in the first subgraph.
      kind: "CONV_2D", "DEPTHWISE_CONV_2D" or "FULLY_CONNECTED".
      source, kernel, output: tensors; bias: None where there is none.
      activation: name of the fused activation, such as "NONE" or "RELU".
    """

    op: int
    kind: str
    source: int
    kernel: int
    bias: int | None
    output: int
    activation: str

    @property
    def output_axis(self) -> int:
        """Axis of the kernel that numbers the output channels."""
        return 3 if self.kind == "DEPTHWISE_CONV_2D" else 0


class Calibrated:
    """A calibrated float model, first subgraph.

    Args:
      data: as ``TFLiteConverter._experimental_calibrate_only`` gives it; made by edgepack's own TensorFlow child,
        not by a stranger.
    """

    def __init__(self, data: bytes) -> None:
        self._size_bytes = len(data)
        self._model = unpacked(data)
        self._graph = self._model.subgraphs[0]
        codes = self._model.operatorCodes
        self._names = [str(builtin_name(max(code.builtinCode, code.deprecatedBuiltinCode))) for code in codes]

    def to_bytes(self) -> bytes:
        """The edited file."""
        return written(self._model, self._size_bytes)

    @property
    def ops(self) -> Sequence[Any]:
        """The schema's operators."""
        ops: Sequence[Any] = self._graph.operators
        return ops

    @property
    def outputs(self) -> frozenset[int]:
        """Tensors that the model answers with."""
        return frozenset(int(index) for index in self._graph.outputs)

    def kind(self, op: int) -> str:
        """Name of an op, such as "CONV_2D"."""
        name: str = self._names[self.ops[op].opcodeIndex]
        return name

    def name(self, tensor: int) -> str:
        """Name of a tensor."""
        return str((self._graph.tensors[tensor].name or b"").decode(errors="replace"))

    def spoken(self, tensor: int) -> str:
        """Name of a tensor for people: an output's is the signature's, which is the Keras name."""
        for signature in self._model.signatureDefs or ():
            for item in signature.outputs or ():
                if int(item.tensorIndex) == tensor:
                    return str(item.name.decode(errors="replace"))
        return self.name(tensor)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor; () for a scalar."""
        shape = self._graph.tensors[tensor].shape
        return () if shape is None else tuple(int(size) for size in shape)

    def readers(self, tensor: int) -> list[int]:
        """Ops that read a tensor."""
        return [number for number, op in enumerate(self.ops) if tensor in list(op.inputs)]

    def ranges(self) -> dict[int, tuple[float, float]]:
        """Tensors that calibration saw, with the smallest and largest value."""
        found = {}
        for index, tensor in enumerate(self._graph.tensors):
            quantization = tensor.quantization
            if tensor.type != FLOAT32 or quantization is None or quantization.min is None:
                continue
            if len(quantization.min) == 1:
                found[index] = (float(quantization.min[0]), float(quantization.max[0]))
        return found

    def set_range(self, tensor: int, low: float, high: float) -> None:
        """Gives a tensor that calibration saw another range."""
        quantization = self._graph.tensors[tensor].quantization
        quantization.min, quantization.max = [low], [high]

    def constant(self, tensor: int) -> Array | None:
        """Values of a float constant, float32 in its shape; None for anything else."""
        record = self._graph.tensors[tensor]
        data = self._model.buffers[record.buffer].data
        if record.type != FLOAT32 or data is None or not len(data):
            return None
        return np.frombuffer(bytes(data), np.float32).reshape(self.shape(tensor))

    def set_constant(self, tensor: int, values: Array) -> None:
        """Gives a constant other values of the same shape; every op that reads it sees them."""
        raw = np.ascontiguousarray(values, np.float32).tobytes()
        self._model.buffers[self._graph.tensors[tensor].buffer].data = np.frombuffer(raw, np.uint8)

    def separate(self) -> None:
        """Gives every weighted op a bias, and every constant of theirs a buffer, that no other op reads.

        A kernel that several ops read stays one tensor: it is one layer, called several times.
        """
        taken: set[int] = set()
        for layer in list(self.weighted()):
            if layer.bias is not None and layer.bias in taken:
                inputs = [int(index) for index in self.ops[layer.op].inputs]
                inputs[2] = len(self._graph.tensors)
                self._graph.tensors.append(copy.copy(self._graph.tensors[layer.bias]))
                self.ops[layer.op].inputs = np.array(inputs, np.int32)
                self._own_buffer(inputs[2])
            for tensor in {layer.kernel, layer.bias} - taken - {None}:
                assert tensor is not None
                self._own_buffer(tensor)
                taken.add(tensor)

    def _own_buffer(self, tensor: int) -> None:
        record = self._graph.tensors[tensor]
        content = copy.copy(self._model.buffers[record.buffer])
        record.buffer = len(self._model.buffers)
        self._model.buffers.append(content)

    def weighted(self) -> Iterator[Weighted]:
        """Every convolution and fully connected op whose kernel is a float constant, in running order."""
        for number, op in enumerate(self.ops):
            if self.kind(number) not in WEIGHTED or self.constant(int(op.inputs[1])) is None:
                continue
            bias = int(op.inputs[2]) if len(op.inputs) > 2 else -1
            yield Weighted(
                op=number,
                kind=self.kind(number),
                source=int(op.inputs[0]),
                kernel=int(op.inputs[1]),
                bias=bias if bias >= 0 and self.constant(bias) is not None else None,
                output=int(op.outputs[0]),
                activation=_activation(op),
            )

    def narrow_inputs(self, names: Sequence[str]) -> None:
        """Gives inputs the range of what is cut out of them for arithmetic, in place of their whole range.

        Where one input holds ids beside numbers, its range is that of the ids (0 … 3,000), and the numbers beside
        them (−3 … 3) would share that scale: quantization hands a cut's scale on to its input. The ids do not mind a
        small range, because they are cast to integers before anything is quantized.

        Args:
          names: Keras names of the inputs; a tensor's name contains them.
        """
        ranges = self.ranges()
        for index in self._graph.inputs:
            if not any(f"_{name}:" in self.name(index) for name in names):
                continue
            cuts = [
                ranges[int(output)]
                for number in self.readers(index)
                if self.kind(number) in CUTTERS
                for output in self.ops[number].outputs
                if int(output) in ranges
            ]
            if cuts and self._graph.tensors[index].quantization is not None:
                self.set_range(index, min(low for low, _ in cuts), max(high for _, high in cuts))


def _activation(op: Any) -> str:
    from ai_edge_litert.schema_py_generated import ActivationFunctionType

    code = op.builtinOptions.fusedActivationFunction
    return next(str(name) for name, number in vars(ActivationFunctionType).items() if number == code)
