"""A .tflite as plain records: tensors, ops, constants, signatures. Reading is checking: see `precheck`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
NO_TENSOR = -1
"""Stands for an optional op input that is left out."""


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """real = scale * (stored − zero_point), one scale per tensor or one per slice along `axis`."""

    scale: Array
    zero_point: Array
    axis: int

    @property
    def per_channel(self) -> bool:
        return self.scale.size > 1


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One tensor of a subgraph.

    Attributes:
      index: in its subgraph.
      shape: as stored, fixed dimensions; `signature` has −1 where a dimension is free.
      dtype: "float32", "int8", "int4", "string", "resource" …
      constant: index of the buffer that holds its value, None where it is computed.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    dtype: str
    quantization: Quantization | None
    constant: int | None
    is_variable: bool

    @property
    def elements(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) if self.shape else 1


@dataclass(frozen=True, kw_only=True)
class Op:
    """One operator. `name` is TFLite's built-in name such as "CONV_2D", or the custom op's own."""

    name: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    intermediates: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Subgraph:
    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Names of inputs and outputs, as given by the exporter: name → tensor index."""

    key: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A whole .tflite.

    Attributes:
      size_bytes: of the file.
      buffers: bytes of each buffer, views of the file.
      metadata: name → buffer index.
    """

    size_bytes: int
    subgraphs: tuple[Subgraph, ...]
    buffers: tuple[Array, ...]
    signatures: tuple[Signature, ...]
    metadata: Mapping[str, int]
    description: str
    _values: dict[tuple[int, str, tuple[int, ...]], Array] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def main(self) -> Subgraph:
        return self.subgraphs[0]

    def value(self, tensor: Tensor) -> Array | None:
        """Stored numbers of a constant tensor in its shape (int4 unpacked to int8); None where it has none.

        A float16 or quantized constant stays as stored; see `real` for what it stands for.
        """
        if tensor.constant is None or tensor.dtype not in NUMPY_DTYPES:
            return None
        key = (tensor.constant, tensor.dtype, tensor.shape)
        if key not in self._values:
            raw = self.buffers[tensor.constant]
            if tensor.dtype in ("int4", "uint4"):
                stored = _nibbles(raw, signed=tensor.dtype == "int4")[: tensor.elements]
            elif tensor.dtype == "int2":
                stored = _crumbs(raw)[: tensor.elements]
            else:
                stored = raw.view(np.dtype(NUMPY_DTYPES[tensor.dtype]).newbyteorder("<"))
            self._values[key] = stored.reshape(tensor.shape)
        return self._values[key]

    def real(self, tensor: Tensor) -> Array | None:
        """What a constant stands for, float32 in its shape."""
        stored = self.value(tensor)
        if stored is None:
            return None
        quantization = tensor.quantization
        if quantization is None or not np.issubdtype(stored.dtype, np.integer):
            return stored.astype(np.float32)
        scale, zero = quantization.scale, quantization.zero_point
        if quantization.per_channel:
            shape = [1] * stored.ndim
            shape[quantization.axis] = -1
            scale, zero = scale.reshape(shape), zero.reshape(shape)
        return ((stored.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)

    def constants(self) -> Iterator[tuple[int, Tensor]]:
        """Every tensor that holds a value, with the number of its subgraph."""
        for number, subgraph in enumerate(self.subgraphs):
            for tensor in subgraph.tensors:
                if tensor.constant is not None:
                    yield number, tensor


NUMPY_DTYPES: Mapping[str, str] = {
    "float32": "float32", "float16": "float16", "float64": "float64", "bool": "bool",
    "int2": "int8", "int4": "int8", "uint4": "uint8", "int8": "int8", "uint8": "uint8", "int16": "int16",
    "uint16": "uint16", "int32": "int32", "uint32": "uint32", "int64": "int64", "uint64": "uint64",
    "complex64": "complex64", "complex128": "complex128",
}  # fmt: skip
"""Numpy dtype of a tensor's unpacked values; dtypes without one (string, resource, variant) have no
numbers."""


def _nibbles(raw: Array, *, signed: bool) -> Array:
    """Two 4-bit numbers per byte, the low one first.

    Example:
      >>> _nibbles(np.array([0xF1], np.uint8), signed=True).tolist()
      [1, -1]
    """
    both = np.stack([raw & 0x0F, raw >> 4], axis=-1).reshape(-1)
    return _signed(both, 8) if signed else both


def _crumbs(raw: Array) -> Array:
    four = np.stack([(raw >> shift) & 3 for shift in (0, 2, 4, 6)], axis=-1).reshape(-1)
    return _signed(four, 2)


def _signed(codes: Array, half: int) -> Array:
    """Two's complement of few bits, widened to int8: `half` is the sign bit's value."""
    widened: Array = (codes ^ half).astype(np.int8) - np.int8(half)
    return widened


def load(path: Path) -> Model:
    """Reads and checks a file; see `edgepack.tflite.precheck.checked`."""
    from edgepack.tflite.precheck import checked  # it builds the records above

    return checked(path)
