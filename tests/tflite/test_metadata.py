"""Metadata that readers of the schema find, on a model that computes as before."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from flatbuffers import number_types, table

from edgepack import tflite
from edgepack.tflite.metadata import IDENTIFIER, TensorMetadata, with_metadata
from tests.tflite.handmade_tflite import Handmade

INPUTS = (
    TensorMetadata(
        name="picture", image_channels=3, mean=(127.5,), std=(127.5,), minimum=(0.0,), maximum=(1.0,)
    ),
)
OUTPUTS = (TensorMetadata(name="scores", description="one a class", labels_file="labels.txt"),)
LABELS = "größer\nkleiner\n".encode()


@pytest.fixture
def model() -> bytes:
    graph = Handmade()
    x, y = graph.tensor("x", (1, 12), scale=0.1), graph.tensor("y", (1, 12), scale=1 / 256, zero_point=[-128])
    graph.op("LOGISTIC", [x], [y])
    return graph.to_bytes([x], [y])


def described(model: bytes, version: str = "1.0.0") -> bytes:
    return with_metadata(
        model,
        name="m",
        version=version,
        description="d",
        inputs=INPUTS,
        outputs=OUTPUTS,
        files={"labels.txt": LABELS},
    )


class Reader:
    """A table of a FlatBuffer, by field numbers."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data, self.table = data, table.Table(bytearray(data), position)

    @classmethod
    def root(cls, data: bytes) -> Reader:
        return cls(data, flatbuffers.encode.Get(number_types.UOffsetTFlags.packer_type, data, 0))

    def _at(self, field: int) -> int:
        offset: int = self.table.Offset(4 + 2 * field)
        assert offset, f"field {field} is absent"
        return offset + int(self.table.Pos)

    def text(self, field: int) -> str:
        return bytes(self.table.String(self._at(field))).decode()

    def number(self, field: int) -> int:
        return int(self.table.Get(number_types.Uint8Flags, self._at(field)))

    def child(self, field: int) -> Reader:
        return Reader(self.data, self.table.Indirect(self._at(field)))

    def children(self, field: int) -> list[Reader]:
        offset = self.table.Offset(4 + 2 * field)
        start, count = self.table.Vector(offset), self.table.VectorLen(offset)
        return [Reader(self.data, self.table.Indirect(start + 4 * number)) for number in range(count)]

    def floats(self, field: int) -> list[float]:
        offset = self.table.Offset(4 + 2 * field)
        start, count = self.table.Vector(offset), self.table.VectorLen(offset)
        return np.frombuffer(self.data, "<f4", count, start).tolist()  # type: ignore[no-any-return]


def metadata_of(data: bytes, tmp_path: Path) -> bytes:
    path = tmp_path / "described.tflite"
    path.write_bytes(data)
    read = tflite.read(path)
    return read.buffers[read.metadata["TFLITE_METADATA"]].tobytes()


def test_the_fields_of_the_schema(model: bytes, tmp_path: Path) -> None:
    packed = metadata_of(described(model), tmp_path)
    assert packed[4:8] == IDENTIFIER
    root = Reader.root(packed)
    assert (root.text(0), root.text(1), root.text(2), root.text(7)) == ("m", "d", "1.0.0", "1.0.0")
    (graph,) = root.children(3)
    (picture,), (scores,) = graph.children(2), graph.children(3)
    assert picture.text(0) == "picture"
    assert picture.child(3).number(0) == 2  # ImageProperties
    assert picture.child(3).child(1).number(0) == 1  # RGB
    (unit,) = picture.children(4)
    assert unit.number(0) == 1  # NormalizationOptions
    assert (unit.child(1).floats(0), unit.child(1).floats(1)) == ([127.5], [127.5])
    assert (picture.child(5).floats(0), picture.child(5).floats(1)) == ([1.0], [0.0])
    (labels,) = scores.children(6)
    assert (labels.text(0), labels.number(2)) == ("labels.txt", 2)


def test_labels_are_found_by_a_zip_reader(model: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(described(model))) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt") == LABELS
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def test_it_computes_the_same(model: bytes, tmp_path: Path) -> None:
    from ai_edge_litert.interpreter import Interpreter

    answers: list[Any] = []
    for data in (model, described(model)):
        interpreter = Interpreter(model_content=data)
        interpreter.allocate_tensors()
        interpreter.set_tensor(
            interpreter.get_input_details()[0]["index"], np.arange(-6, 6, dtype=np.int8).reshape(1, 12) * 9
        )
        interpreter.invoke()
        answers.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert np.array_equal(*answers)


def test_described_again_the_former_is_replaced(model: bytes, tmp_path: Path) -> None:
    again = described(described(model), version="2.0.0")
    assert Reader.root(metadata_of(again, tmp_path)).text(2) == "2.0.0"
    assert described(model) == described(model)
