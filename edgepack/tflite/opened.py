"""A .tflite opened to be written anew: whole, with the files attached to it, and without what keeps it from loading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from edgepack.tflite.attached import Files, UnreadableError, joined, split
from edgepack.tflite.precheck import parse
from edgepack.tflite.schema import unpacked
from edgepack.tflite.writing import written

MENDED: Final = (
    "an axis of quantization that lay out of range was put right; runtimes refuse the file as it was"
)
MAX_BYTES: Final = 1 << 29


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A file that can be edited.

    Attributes:
      data: as it was.
      loadable: the same with its axes mended (see `_mend`), `data` itself where nothing was wrong.
      model: the `ModelT`, mended; to be edited in place.
      files: attached behind the model.
    """

    data: bytes
    loadable: bytes
    model: Any
    files: Files

    @property
    def mended(self) -> bool:
        return self.loadable != self.data

    def closed(self) -> bytes:
        """The file of the model as it is now."""
        return joined(written(self.model, len(self.data)), self.files)


def opened(data: bytes) -> Opened | str:
    """Opens a file, or says why it cannot be written anew.

    Raises:
      DamagedError: not a sound .tflite.
    """
    parse(data)
    if len(data) > MAX_BYTES:
        return f"it is larger than {MAX_BYTES >> 20} MiB"
    try:
        body, files = split(data)
    except UnreadableError as error:
        return str(error)
    model = unpacked(body)
    if model.externalBuffers or any(buffer.offset > 1 for buffer in model.buffers):
        return "its weights lie behind the flatbuffer or in other files"
    if any(op.largeCustomOptionsOffset > 1 for graph in model.subgraphs for op in graph.operators or ()):
        return "options of its custom ops lie behind the flatbuffer"
    loadable = joined(written(model, len(body)), files) if _mend(model) else data
    return Opened(data=data, loadable=loadable, model=model, files=files)


def _mend(model: Any) -> bool:
    """Puts axes of quantization back in range; whether one was not.

    Old converters gave a bias the axis of its kernel, 3, and today's runtimes refuse such a file. Where there is only
    one axis, or only one scale, 0 is the only one that can be meant.
    """
    wrong = False
    for graph in model.subgraphs:
        for tensor in graph.tensors or ():
            quantization = tensor.quantization
            if quantization is None or quantization.scale is None or not len(quantization.scale):
                continue
            rank = 0 if tensor.shape is None else len(tensor.shape)
            if quantization.quantizedDimension >= max(1, rank) and (
                rank == 1 or len(quantization.scale) == 1
            ):
                quantization.quantizedDimension = 0
                wrong = True
    return wrong
