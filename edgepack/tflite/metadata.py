"""TFLite Metadata: what a model's tensors mean, inside the file, as Android's Task Library and ML Kit read it.

A FlatBuffer of its own (metadata_schema.fbs of TensorFlow Lite Support, identifier "M001") in a buffer of the model, under
the name TFLITE_METADATA; associated files such as labels follow the model as an uncompressed zip, which FlatBuffers
readers don't see and zip readers find from the end. The fields are written by their numbers in the schema: its generated
code is not on the package index in a form that can be imported.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import flatbuffers
import numpy as np

from edgepack.tflite.schema import unpacked
from edgepack.tflite.writing import written

NAME: Final = b"TFLITE_METADATA"
IDENTIFIER: Final = b"M001"
PARSER_VERSION: Final = "1.0.0"
FEATURE_PROPERTIES, IMAGE_PROPERTIES = 1, 2
COLOR_SPACES: Final = {1: 2, 3: 1}
"""Channels → ColorSpaceType: grayscale, RGB."""
NORMALIZATION: Final = 1
TENSOR_AXIS_LABELS: Final = 2


@dataclass(frozen=True, kw_only=True)
class TensorMetadata:
    """One input or output.

    Attributes:
      image_channels: 1 or 3 for pictures; None for plain features.
      mean, std: normalization (x − mean) / std of what the application has, before quantization; () for none.
      labels_file: associated file with the names of the last axis.
    """

    name: str
    description: str = ""
    image_channels: int | None = None
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    minimum: Sequence[float] = ()
    maximum: Sequence[float] = ()
    labels_file: str | None = None


def with_metadata(
    data: bytes,
    *,
    name: str,
    version: str,
    description: str,
    inputs: Sequence[TensorMetadata],
    outputs: Sequence[TensorMetadata],
    files: Mapping[str, bytes],
) -> bytes:
    """A .tflite with metadata inside and associated files behind it; it computes the same.

    Args:
      data: a sound .tflite, whose former metadata is replaced.
      files: name → contents of what `labels_file` names.

    Raises:
      DamagedError: `data` is not a model.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = unpacked(data)
    model.metadata = [entry for entry in model.metadata or [] if entry.name != NAME]
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(_packed(name, version, description, inputs, outputs), np.uint8)
    entry.name, entry.buffer = NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata.append(entry)
    return _with_files(written(model, len(data) + 4096), files)


def _with_files(data: bytes, files: Mapping[str, bytes]) -> bytes:
    if not files:
        return data
    whole = io.BytesIO(data)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            archive.writestr(entry, files[name])
    return whole.getvalue()


def _packed(
    name: str,
    version: str,
    description: str,
    inputs: Sequence[TensorMetadata],
    outputs: Sequence[TensorMetadata],
) -> bytes:
    builder = flatbuffers.Builder(1024)
    tensors = [_vector(builder, [_tensor(builder, each) for each in group]) for group in (inputs, outputs)]
    graph = _table(builder, {2: tensors[0], 3: tensors[1]})
    graphs = _vector(builder, [graph])
    texts = [builder.CreateString(text) for text in (name, description, version, PARSER_VERSION)]
    builder.Finish(
        _table(builder, {0: texts[0], 1: texts[1], 2: texts[2], 3: graphs, 7: texts[3]}), IDENTIFIER
    )
    return bytes(builder.Output())


def _tensor(builder: Any, tensor: TensorMetadata) -> int:
    fields = {0: builder.CreateString(tensor.name), 3: _content(builder, tensor.image_channels)}
    if tensor.description:
        fields[1] = builder.CreateString(tensor.description)
    if len(tensor.mean):
        options = _table(builder, {0: _floats(builder, tensor.mean), 1: _floats(builder, tensor.std)})
        unit = _table(builder, {1: options}, kinds={0: NORMALIZATION})
        fields[4] = _vector(builder, [unit])
    if len(tensor.minimum):
        fields[5] = _table(
            builder, {0: _floats(builder, tensor.maximum), 1: _floats(builder, tensor.minimum)}
        )
    if tensor.labels_file is not None:
        file = builder.CreateString(tensor.labels_file)
        fields[6] = _vector(builder, [_table(builder, {0: file}, kinds={2: TENSOR_AXIS_LABELS})])
    return _table(builder, fields)


def _content(builder: Any, channels: int | None) -> int:
    if channels is None:
        return _table(builder, {1: _table(builder, {})}, kinds={0: FEATURE_PROPERTIES})
    properties = _table(builder, {}, kinds={0: COLOR_SPACES.get(channels, 0)})
    return _table(builder, {1: properties}, kinds={0: IMAGE_PROPERTIES})


def _table(builder: Any, offsets: Mapping[int, int], *, kinds: Mapping[int, int] | None = None) -> int:
    """A table with offsets and one-byte enumerations in numbered fields."""
    kinds = kinds or {}
    builder.StartObject(max([*offsets, *kinds], default=-1) + 1)
    for field, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(field, offset, 0)
    for field, value in kinds.items():
        builder.PrependUint8Slot(field, value, 0)
    return int(builder.EndObject())


def _vector(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: Any, values: Sequence[float]) -> int:
    return int(builder.CreateNumpyVector(np.asarray(values, np.float32)))
