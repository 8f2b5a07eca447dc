"""Fully connected kernels of few levels as real int4: two weights a byte, run as such by XNNPACK and TFLM.

`[quantize] weight_bits = 4` leaves int8 kernels with at most 15 levels, codes round(q · 127 / 7) of -7 ≤ q ≤ 7, because
the converter's scale is the largest weight over 127. Here the codes become q, the scale s · 127 / 7, and the bias is
rounded to the grid that goes with it; then q is stored in four bits. Convolutions keep their int8 kernels: XNNPACK does
not take int4 ones, and would hand them to kernels several times slower.

Format: schema.fbs, ``TensorType.INT4``; the low nibble of a byte comes first.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.tflite.opcodes import builtin_name
from edgepack.tflite.precheck import parse
from edgepack.tflite.schema import unpacked
from edgepack.tflite.writing import written

Array = npt.NDArray[Any]
LEVELS: Final = 7
WIDEST: Final = 127
FULLY_CONNECTED_INT4: Final = 7
"""Version of the op that knows int4 weights (TFLite's op_version.cc)."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A model before and after packing.

    Attributes:
      regridded: int8 containers with the codes and scales of the int4 kernels; what `data` is to be equal to, bit by
        bit.
      data: with int4 kernels; equal to the input where nothing was packed.
      layers: names of the packed kernels' outputs; left: (name, reason) of the other fully connected ops.
    """

    regridded: bytes
    data: bytes
    layers: tuple[str, ...]
    left: tuple[tuple[str, str], ...]


def pack(data: bytes) -> Packed:
    """Stores what fits in four bits in four bits.

    Args:
      data: an int8 .tflite.

    Raises:
      DamagedError: not a sound .tflite.
    """
    parse(data)
    model = unpacked(data)
    graph = model.subgraphs[0]
    codes = [builtin_name(max(code.builtinCode, code.deprecatedBuiltinCode)) for code in model.operatorCodes]
    dense = [op for op in graph.operators if codes[op.opcodeIndex] == "FULLY_CONNECTED"]
    packed, left = [], []
    for op in dense:
        name = (graph.tensors[op.outputs[0]].name or b"").decode(errors="replace")
        reason = _regrid(model, op, dense)
        if reason is None:
            packed.append(op)
        else:
            left.append((name, reason))
    if not packed:
        return Packed(regridded=data, data=data, layers=(), left=tuple(left))
    regridded = written(model, len(data))
    for op in packed:
        _store(model, graph.tensors[op.inputs[1]])
    _raise_version(model, packed)
    return Packed(
        regridded=regridded,
        data=written(model, len(data)),
        layers=tuple((graph.tensors[op.outputs[0]].name or b"").decode(errors="replace") for op in packed),
        left=tuple(left),
    )


def _regrid(model: Any, op: Any, dense: list[Any]) -> str | None:
    """Gives a kernel codes of -7 … 7 with the scale to match; why not, where it cannot."""
    from ai_edge_litert.schema_py_generated import TensorType

    tensors = model.subgraphs[0].tensors
    kernel = tensors[op.inputs[1]]
    bias = tensors[op.inputs[2]] if len(op.inputs) > 2 and op.inputs[2] >= 0 else None
    content = model.buffers[kernel.buffer].data
    if kernel.type != TensorType.INT8 or content is None or not len(content):
        return "its kernel is no int8 constant"
    if kernel.shape[1] % 2:
        return f"its {kernel.shape[1]} inputs are an odd number, which XNNPACK cannot read two at a time"
    own = {id(tensor) for tensor in (kernel, bias)}
    buffers = {tensor.buffer for tensor in (kernel, bias) if tensor is not None}
    strangers = [other for other in tensors if other.buffer in buffers and id(other) not in own]
    if strangers or sum(op.inputs[1] in list(other.inputs) for other in dense) > 1:
        return "its constants are shared"
    stored = np.frombuffer(bytes(content), np.int8).reshape(tuple(kernel.shape))
    if np.abs(stored.astype(np.int16)).max(initial=0) <= LEVELS:
        return None
    rows = quarter(stored)
    if rows is None:
        return "its weights have more than 15 levels; [quantize] weight_bits = 4 makes kernels that fit"
    _replace(model, kernel, rows)
    if bias is not None and model.buffers[bias.buffer].data is not None:
        before = np.frombuffer(bytes(model.buffers[bias.buffer].data), np.int32)
        _replace(model, bias, np.round(before * (LEVELS / WIDEST)).astype(np.int32))
    return None


def _replace(model: Any, tensor: Any, codes: Array) -> None:
    """Other codes, and the scale that goes with them."""
    model.buffers[tensor.buffer].data = np.frombuffer(codes.tobytes(), np.uint8)
    scale = np.asarray(tensor.quantization.scale, np.float64) * (WIDEST / LEVELS)
    tensor.quantization.scale = scale.astype(np.float32)


def quarter(stored: Array) -> Array | None:
    """The 4-bit codes that int8 codes stand for, int8 of the same shape; None where they are not on such a grid.

    Example:
      >>> quarter(np.array([[127, -18, 0]], np.int8)).tolist(), quarter(np.array([[127, 5]], np.int8))
      ([[7, -1, 0]], None)
    """
    few = np.round(stored * (LEVELS / WIDEST))
    wide = np.round(few * (WIDEST / LEVELS))
    if np.abs(wide - stored).max(initial=0) > 1:  # the converter's own rounding may be off by one
        return None
    codes: Array = few.astype(np.int8)
    return codes


def nibbles(codes: Array) -> Array:
    """Two 4-bit codes per byte, the low one first; an odd last one is followed by 0.

    Example:
      >>> [hex(byte) for byte in nibbles(np.array([1, -1, 7], np.int8))]
      ['0xf1', '0x7']
    """
    flat = codes.reshape(-1)
    even = np.concatenate([flat, np.zeros(flat.size % 2, np.int8)]).astype(np.uint8) & 0x0F
    pairs: Array = even[0::2] | (even[1::2] << 4)
    return pairs


def _store(model: Any, kernel: Any) -> None:
    from ai_edge_litert.schema_py_generated import TensorType

    stored = np.frombuffer(bytes(model.buffers[kernel.buffer].data), np.int8)
    model.buffers[kernel.buffer].data = nibbles(stored)
    kernel.type = TensorType.INT4


def _raise_version(model: Any, packed: list[Any]) -> None:
    """Gives the packed ops an op code of the version that knows int4."""
    for index in sorted({int(op.opcodeIndex) for op in packed}):
        code = model.operatorCodes[index]
        if code.version >= FULLY_CONNECTED_INT4:
            continue
        newer = copy.copy(code)
        newer.version = FULLY_CONNECTED_INT4
        model.operatorCodes.append(newer)
        for op in packed:
            if op.opcodeIndex == index:
                op.opcodeIndex = len(model.operatorCodes) - 1
