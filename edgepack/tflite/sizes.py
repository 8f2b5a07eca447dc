"""What a .tflite weighs: the three sizes, and which part of the file each byte serves."""

from __future__ import annotations

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


def byte_ledger(model: Model) -> dict[str, int]:
    """Bytes by what they serve; the values add up to the file's size.

    Returns:
      "weights" (constants that take part in the arithmetic), "other constants" (shapes, axes, indices),
      "quantization" (scales and zero points), "names", "metadata", "structure" (everything else: tables,
      offsets, padding).
    """
    weights, others, scales = _Spans(), _Spans(), _Spans()
    metadata = set(model.metadata.values())
    names = 0
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            names += len(tensor.name.encode()) + 1 if tensor.name else 0
            if tensor.constant is not None and tensor.constant not in metadata:
                (weights if is_weight(tensor.dtype, tensor.quantization is not None) else others).add(
                    model.buffers[tensor.constant]
                )
            if tensor.quantization is not None:
                scales.add(tensor.quantization.scale)
                scales.add(tensor.quantization.zero_point)
    found = {
        "weights": weights.total,
        "other constants": others.total,
        "quantization": scales.total,
        "names": names,
        "metadata": sum(model.buffers[index].size for index in metadata),
    }
    found["structure"] = max(0, model.size_bytes - sum(found.values()))
    return found


def is_weight(dtype: str, quantized: bool) -> bool:
    """Whether a constant of this type is arithmetic (a kernel, a bias) and not a shape or an axis."""
    return dtype in ("float32", "float16", "bfloat16", "float64") or quantized


class _Spans:
    """Byte counter that counts a span of the file once, however many tensors point at it."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self.total = 0

    def add(self, array: Array) -> None:
        address = int(array.__array_interface__["data"][0])
        if array.size and address not in self._seen:
            self._seen.add(address)
            self.total += array.nbytes
