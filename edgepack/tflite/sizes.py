"""What a .tflite weighs: the three sizes, and which part of the file each byte serves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgepack import errors
from edgepack.records import Sizes
from edgepack.tflite.model import Array, Model

BROTLI_QUALITY = 11


def sizes(path: Path) -> Sizes:
    """File, delivered (brotli, quality 11) and flash bytes; flash is the file until a device has a
    decoder."""
    import brotli

    try:
        data = path.read_bytes()
    except OSError as error:
        raise errors.StorageError(f"{path}: cannot be read: {error.strerror}") from error
    delivered = len(brotli.compress(data, quality=BROTLI_QUALITY))
    return Sizes(file_bytes=len(data), delivered_bytes=delivered, flash_bytes=len(data))


@dataclass(frozen=True, kw_only=True)
class Span:
    """Bytes of a file and what they serve.

    Attributes:
      purpose: a key of `byte_ledger`.
      tensor: number of the main subgraph's tensor that they belong to; None where they belong to none of it.
    """

    purpose: str
    tensor: int | None
    size_bytes: int


def byte_ledger(model: Model) -> dict[str, int]:
    """Bytes by what they serve; the values add up to the file's size.

    Returns:
      "weights" (constants that take part in the arithmetic), "other constants" (shapes, axes, indices),
      "quantization" (scales and zero points), "names", "metadata", "structure" (everything else: tables,
      offsets, padding).
    """
    found = dict.fromkeys(("weights", "other constants", "quantization", "names", "metadata", "structure"), 0)
    for span in byte_spans(model):
        found[span.purpose] += span.size_bytes
    return found


def byte_spans(model: Model) -> list[Span]:
    """Every byte of the file by what it serves, tensor by tensor; a constant that several share counts for the first."""
    weights, others, scales = _Spans(), _Spans(), _Spans()
    metadata = set(model.metadata.values())
    found = []
    for number, subgraph in enumerate(model.subgraphs):
        for tensor in subgraph.tensors:
            index = tensor.index if number == 0 else None
            found.append(Span(purpose="names", tensor=index, size_bytes=_name_bytes(tensor.name)))
            if tensor.constant is not None and tensor.constant not in metadata:
                weight = is_weight(tensor.dtype, tensor.quantization is not None)
                size_bytes = (weights if weight else others).add(model.buffers[tensor.constant])
                purpose = "weights" if weight else "other constants"
                found.append(Span(purpose=purpose, tensor=index, size_bytes=size_bytes))
            if tensor.quantization is not None:
                both = (tensor.quantization.scale, tensor.quantization.zero_point)
                size_bytes = sum(scales.add(array) for array in both)
                found.append(Span(purpose="quantization", tensor=index, size_bytes=size_bytes))
    described = sum(model.buffers[index].size for index in metadata)
    found.append(Span(purpose="metadata", tensor=None, size_bytes=described))
    rest = max(0, model.size_bytes - sum(span.size_bytes for span in found))
    return [
        *(span for span in found if span.size_bytes),
        Span(purpose="structure", tensor=None, size_bytes=rest),
    ]


def _name_bytes(name: str) -> int:
    return len(name.encode()) + 1 if name else 0


def is_weight(dtype: str, quantized: bool) -> bool:
    """Whether a constant of this type is arithmetic (a kernel, a bias) and not a shape or an axis."""
    return dtype in ("float32", "float16", "bfloat16", "float64") or quantized


class _Spans:
    """Byte counter that counts a span of the file once, however many tensors point at it."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def add(self, array: Array) -> int:
        """Bytes that were not counted before."""
        address = int(array.__array_interface__["data"][0])
        if not array.size or address in self._seen:
            return 0
        self._seen.add(address)
        return array.nbytes
