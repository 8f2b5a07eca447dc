"""Cuts dead channels out of a .tflite, their constants taken over by the biases of the ops that read them."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack.tflite.dead_channels import Findings, LayerChannels, find, foldable
from edgepack.tflite.lanes import too_wide
from edgepack.tflite.model import Array
from edgepack.tflite.opened import opened
from edgepack.tflite.slimming import compact, may_renumber
from edgepack.tflite.wiring import ABSENT, CONVOLUTION, DENSE, DEPTHWISE, Weighted, Wiring

Marks = npt.NDArray[np.bool_]
CHANNEL_AXIS = {CONVOLUTION: 0, DENSE: 0, DEPTHWISE: 3}
"""Axis of the output channels in a kernel."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A file after its dead channels were cut.

    Attributes:
      data: the new file, the old one where nothing was cut.
      reason: why nothing was, "" otherwise.
      layers: what becomes of the channels of each convolution and dense op.
      loadable: what `data` is to be compared with (see `opened.Opened`); b"" where nothing was cut.
    """

    data: bytes
    reason: str
    layers: tuple[LayerChannels, ...] = ()
    loadable: bytes = b""


def without_dead_channels(data: bytes) -> Removal:
    """The same model without the channels that change nothing.

    Args:
      data: a .tflite, whoever made it; int8 or float32. Only the main graph is cut.

    Raises:
      DamagedError: not a sound .tflite.
    """
    found = opened(data)
    if isinstance(found, str):
        return Removal(data=data, reason=found)
    if too_wide(Wiring(found.model)):
        return Removal(data=data, reason="its tensors have more channels than can be followed")
    findings = find(found.model)
    reason = _why_all_stay(findings)
    if not reason and not may_renumber(found.model):
        reason = "its metadata speak of tensors by their numbers, which would change"
    if reason:
        return Removal(data=data, reason=reason, layers=findings.layers)
    try:
        _Cut(findings).run()
    except OverflowError as error:
        return Removal(data=data, reason=str(error), layers=findings.layers)
    compact(found.model)
    return Removal(data=found.closed(), reason="", layers=findings.layers, loadable=found.loadable)


def _why_all_stay(findings: Findings) -> str:
    layers = findings.layers
    constant = sum(layer.constant for layer in layers)
    if findings.removed:
        return ""
    if not layers:
        return "it has no convolution or dense op whose arithmetic is treated (int8 and float32 are)"
    if not constant:
        return f"none of its {sum(layer.channels for layer in layers):,} channels is dead"
    return f"none of its {constant:,} dead channels can go exactly"


class _Cut:
    """One pass over the graph with the channels that stay."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._wiring: Wiring = findings.wiring
        self._kept: dict[int, Marks] = {
            index: findings.keep[findings.lanes.of(index)] for index in range(len(self._wiring.tensors))
        }

    def run(self) -> None:
        for op in self._findings.lanes.weighted.values():
            self._cut_op(op)
        for node in self._wiring.nodes:
            if node.name == "RESHAPE":
                self._reshape(node.operator, node.inputs, node.outputs[0])
        for index, kept in self._kept.items():
            if not kept.all():
                self._narrow(index, kept)
        self._wiring.graph.tensors = self._wiring.tensors

    def _cut_op(self, op: Weighted) -> None:
        node, wiring = op.node, self._wiring
        lanes, rows = self._kept[node.inputs[0]], self._kept[node.outputs[0]]
        if lanes.all() and rows.all():
            return
        kernel = wiring.value(node.inputs[1])
        assert kernel is not None
        inputs = list(node.inputs)
        shared = op.depthwise and len(lanes) == 1
        axis = CHANNEL_AXIS[node.name]
        cut = np.compress(rows, kernel, axis=axis)
        if not op.depthwise:
            cut = cut[..., np.tile(lanes, kernel.shape[-1] // len(lanes))]
            inputs = self._folded(op, inputs, lanes)
        inputs[1] = self._with(inputs[1], cut, rows, axis)
        if len(inputs) > 2 and inputs[2] != ABSENT:
            bias = wiring.value(inputs[2])
            assert bias is not None
            inputs[2] = self._with(inputs[2], bias[rows], rows, 0)
        if shared:
            node.options.depthMultiplier = int(rows.sum())
        node.operator.inputs = np.array(inputs, np.int32)

    def _folded(self, op: Weighted, inputs: list[int], lanes: Marks) -> list[int]:
        """The op's inputs with a bias that has taken over what the lanes that go would have added."""
        if not op.integer:
            return inputs  # only zeros go
        low, _ = self._findings.reachable.range(op.node.inputs[0])
        going = ~lanes & foldable(op, self._findings.reachable)
        shift = op.weights[:, :, going].astype(np.int64).sum(axis=1) @ (
            low[going].astype(np.int64) - op.input_zero
        )
        if not shift.any():
            return inputs
        bias = op.bias + shift
        limits = np.iinfo(np.int32)
        if bias.min() < limits.min or bias.max() > limits.max:
            raise OverflowError("a bias would leave 32 bits")
        if len(inputs) > 2 and inputs[2] != ABSENT:
            everything = np.ones(len(bias), bool)
            return [*inputs[:2], self._with(inputs[2], bias.astype(np.int32), everything, 0)]
        return [*inputs[:2], self._new_bias(op, bias.astype(np.int32))]

    def _new_bias(self, op: Weighted, bias: Array) -> int:
        """A bias for an op that had none, on the grid of its accumulators."""
        from ai_edge_litert import schema_py_generated as schema

        wiring = self._wiring
        before, scales = wiring.one_grid(op.node.inputs[0]), wiring.grid(op.node.inputs[1])
        assert before is not None and scales is not None
        tensor = schema.TensorT()
        tensor.type, tensor.shape, tensor.name = schema.TensorType.INT32, np.array(bias.shape, np.int32), b""
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = (before[0] * scales[0]).astype(np.float32)
        tensor.quantization.zeroPoint = np.zeros(len(scales[0]), np.int64)
        wiring.tensors.append(tensor)
        tensor.buffer = self._buffer(bias)
        return len(wiring.tensors) - 1

    def _with(self, index: int, value: Array, kept: Marks, axis: int) -> int:
        """A new constant like tensor `index`, its value and its scales cut along `axis`."""
        tensor = copy(self._wiring.tensors[index])
        tensor.shape, tensor.shapeSignature = np.array(value.shape, np.int32), None
        tensor.quantization = _cut_scales(tensor.quantization, kept, axis)
        tensor.buffer = self._buffer(value)
        self._wiring.tensors.append(tensor)
        return len(self._wiring.tensors) - 1

    def _buffer(self, value: Array) -> int:
        from ai_edge_litert.schema_py_generated import BufferT

        buffer = BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
        self._wiring.model.buffers.append(buffer)
        return len(self._wiring.model.buffers) - 1

    def _narrow(self, index: int, kept: Marks) -> None:
        """Cuts the last axis of a tensor: its shape, and its value where it has one."""
        wiring = self._wiring
        tensor = wiring.tensors[index]
        value = wiring.value(index)
        shape = np.array(tensor.shape, np.int32)
        shape[-1] = int(kept.sum())
        if value is not None:
            tensor.quantization = _cut_scales(tensor.quantization, kept, value.ndim - 1)
            tensor.buffer = self._buffer(value[..., kept])
        tensor.shape = shape
        if tensor.shapeSignature is not None and len(tensor.shapeSignature):
            signature = np.array(tensor.shapeSignature, np.int32)
            signature[-1] = shape[-1]
            tensor.shapeSignature = signature

    def _reshape(self, operator: Any, inputs: tuple[int, ...], output: int) -> None:
        kept = self._kept[output]
        if kept.all():
            return
        width = int(kept.sum())
        options = operator.builtinOptions
        if options is not None and options.newShape is not None and len(options.newShape):
            options.newShape = _ending(np.array(options.newShape, np.int32), width)
        if len(inputs) > 1:
            wanted = self._wiring.value(inputs[1])
            assert wanted is not None
            everything = np.ones(wanted.shape[0], bool)
            new = self._with(inputs[1], _ending(np.array(wanted), width), everything, 0)
            operator.inputs = np.array([inputs[0], new], np.int32)


def _ending(shape: Array, width: int) -> Array:
    """A wanted shape with another last size; −1 stays, for it follows from the rest."""
    if len(shape) and shape[-1] != -1:
        shape[-1] = width
    return shape


def _cut_scales(quantization: Any, kept: Marks, axis: int) -> Any:
    """Scales and zero points per channel along `axis`, cut; None and a single scale stay."""
    if (
        quantization is None
        or quantization.scale is None
        or len(quantization.scale) != len(kept)
        or len(kept) == 1
    ):
        return quantization
    if quantization.quantizedDimension != axis:
        return quantization
    cut = copy(quantization)
    cut.scale = np.asarray(quantization.scale)[kept]
    cut.zeroPoint = None if quantization.zeroPoint is None else np.asarray(quantization.zeroPoint)[kept]
    for side in ("min", "max"):
        seen = getattr(quantization, side)
        if seen is not None and len(seen) == len(kept):
            setattr(cut, side, np.asarray(seen)[kept])
    return cut
