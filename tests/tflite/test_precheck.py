"""Damaged files are an exception, never a crash, and sound ones are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgepack import errors, tflite
from edgepack.tflite.flatbuffer import DamagedError, Table
from edgepack.tflite.precheck import parse
from tests.tflite.handmade_tflite import Handmade, dense

SOUND = dense(np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32))


def test_a_handmade_file_is_read() -> None:
    model = parse(SOUND)
    assert [op.name for op in model.main.ops] == ["FULLY_CONNECTED"]
    assert [tensor.name for tensor in model.main.tensors] == ["x", "tfl.pseudo_qconst", "y"]
    assert model.main.tensors[1].quantization is not None
    assert model.main.tensors[1].quantization.scale.shape == (4,)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    places=st.lists(st.tuples(st.integers(0, len(SOUND) - 1), st.integers(0, 255)), min_size=1, max_size=8),
    length=st.integers(0, len(SOUND)),
    truncated=st.booleans(),
)
def test_mutations_are_read_or_refused(places: list[tuple[int, int]], length: int, truncated: bool) -> None:
    data = bytearray(SOUND)
    for place, value in places:
        data[place] = value
    try:
        parse(bytes(data[:length]) if truncated else bytes(data))
    except DamagedError as error:
        assert str(error)


def test_every_overwritten_word_is_read_or_refused() -> None:
    refused = 0
    for word in (b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\0", len(SOUND).to_bytes(4, "little")):
        for place in range(0, len(SOUND) - 4, 4):
            data = SOUND[:place] + word + SOUND[place + 4 :]
            try:
                parse(data)
            except DamagedError:
                refused += 1
    assert refused > len(SOUND) / 4  # most words of so small a file are offsets or lengths


def test_a_list_that_claims_a_billion_entries_is_refused_at_once() -> None:
    with pytest.raises(DamagedError, match=r"past the end|outside"):
        parse(SOUND[:24] + b"\xff\xff\xff\x3f" * 64 + SOUND[280:])


@pytest.mark.parametrize("data", [b"", b"TFL3", b"x" * 64, b"\x10\0\0\0TFL4" + bytes(64)])
def test_what_is_no_tflite_is_named_so(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    with pytest.raises(errors.ModelError, match=r"model\.tflite.*TFL3 identifier"):
        tflite.read(path)


def test_an_absent_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(errors.StorageError, match="No such file"):
        tflite.read(tmp_path / "absent.tflite")


def test_scales_must_fit_the_shape() -> None:
    graph = Handmade()
    data = graph.tensor("x", (1, 3), scale=[0.1, 0.2], zero_point=[0, 0], axis=1)
    with pytest.raises(DamagedError, match=r"shape \[1, 3\] has 2 scales along axis 1"):
        parse(graph.to_bytes([data], [data]))


def test_zero_points_must_fit_the_scales() -> None:
    graph = Handmade()
    data = graph.tensor("x", (1, 3), scale=[0.1, 0.2, 0.3], zero_point=[0, 0], axis=1)
    with pytest.raises(DamagedError, match="3 scales but 2 zero points"):
        parse(graph.to_bytes([data], [data]))


def test_constants_must_have_the_bytes_of_their_shape() -> None:
    graph = Handmade()
    weights = graph.tensor("w", (2, 3), "float32", value=np.zeros(5, np.float32))
    with pytest.raises(DamagedError, match="holds 20 bytes, not 24"):
        parse(graph.to_bytes([weights], [weights]))


def test_ops_must_name_tensors_that_exist() -> None:
    graph = Handmade()
    data = graph.tensor("x", (1, 3))
    graph.op("RELU", [data], [7])
    with pytest.raises(DamagedError, match="RELU names a tensor"):
        parse(graph.to_bytes([data], [data]))


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs", "says"),
    [
        ("RELU", [0], [], "RELU has no output"),
        ("FULLY_CONNECTED", [0], [1], "lacks one of its first 2 inputs"),
        ("FULLY_CONNECTED", [0, -1], [1], "lacks one of its first 2 inputs"),
    ],
)
def test_ops_must_have_what_they_work_on(kind: str, inputs: list[int], outputs: list[int], says: str) -> None:
    graph = Handmade()
    tensors = [graph.tensor("x", (1, 3)), graph.tensor("y", (1, 3))]
    graph.op(kind, inputs, outputs)
    with pytest.raises(DamagedError, match=says):
        parse(graph.to_bytes(tensors[:1], tensors[1:]))


def test_real_files_are_read(shared_models: Path) -> None:
    paths = sorted(shared_models.glob("*/*.tflite"))
    assert len(paths) >= 10
    for path in paths:
        artifact = tflite.adopt(path)
        assert artifact.inputs and artifact.outputs, path.name
        model = tflite.read(path)
        assert sum(tflite.byte_ledger(model).values()) == path.stat().st_size, path.name


def test_overlapping_lists_are_refused_in_time() -> None:
    graph = Handmade()
    data = graph.tensor("x", (1, 3))
    graph.op("CONCATENATION", [data] * 20_000, [data])
    for _ in range(2_000):
        graph.op("RELU", [data], [data])
    with pytest.raises(DamagedError, match="overlap"):
        parse(_every_op_like_the_first(graph.to_bytes([data], [data])))


def _every_op_like_the_first(data: bytes) -> bytes:
    """The list of ops rewritten so that every entry leads to the first one's table."""
    (graph,) = Table.root(data).tables(2)
    vector = graph._vector(3, 4)
    assert vector is not None
    start, count = vector
    target = graph.tables(3)[0].position
    entries = b"".join((target - (start + 4 * number)).to_bytes(4, "little") for number in range(count))
    return data[:start] + entries + data[start + 4 * count :]
