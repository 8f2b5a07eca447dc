"""Slimming drops what says nothing and keeps what something needs; writing shares what is equal."""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgepack.tflite.flatbuffer import DamagedError
from edgepack.tflite.opened import Opened, opened
from edgepack.tflite.precheck import parse
from edgepack.tflite.removal import without_dead_channels
from edgepack.tflite.schema import unpacked
from edgepack.tflite.sizes import byte_ledger
from edgepack.tflite.slimming import slim
from edgepack.tflite.writing import SharingBuilder, written
from tests.tflite.handmade_network import Network


def network() -> bytes:
    """Two paths of equal shape into one sum; conv, add, dense."""
    net = Network((1, 6, 6, 3))
    x = net.conv(net.input, 16)
    x = net.add(net.conv(x, 16), net.conv(x, 16))
    return net.to_bytes(net.dense(net.flatten(x), 4))


def edited(data: bytes, edit: Any) -> bytes:
    model = unpacked(data)
    edit(model)
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_twice_is_once_and_the_same_each_time() -> None:
    data = network()
    once = slim(data)
    assert len(once) < 0.9 * len(data)
    assert slim(once) == once == slim(data)


def test_the_graph_is_the_same() -> None:
    data = network()
    before, after = parse(data), parse(slim(data))
    assert [op.name for op in before.main.ops] == [op.name for op in after.main.ops]
    for one, other in zip(before.main.ops, after.main.ops, strict=True):
        for old, new in zip((*one.inputs, *one.outputs), (*other.inputs, *other.outputs), strict=True):
            left, right = before.main.tensors[old], after.main.tensors[new]
            assert (left.shape, left.dtype) == (right.shape, right.dtype)
            np.testing.assert_array_equal(before.value(left), after.value(right))
            assert left.quantization is not None or right.quantization is None
            if left.quantization is not None and right.quantization is not None:
                np.testing.assert_array_equal(left.quantization.scale, right.quantization.scale)
                np.testing.assert_array_equal(left.quantization.zero_point, right.quantization.zero_point)


def test_only_ends_keep_their_names() -> None:
    after = parse(slim(network())).main
    ends = {*after.inputs, *after.outputs}
    assert {tensor.name for tensor in after.tensors if tensor.index in ends} == {"x", "fully_connected_5"}
    assert {tensor.name for tensor in after.tensors if tensor.index not in ends} == {""}


def test_names_that_a_signature_speaks_of_stay() -> None:
    def sign(model: Any) -> None:
        signature, entry = schema.SignatureDefT(), schema.TensorMapT()
        entry.name, entry.tensorIndex = b"hidden", int(model.subgraphs[0].operators[0].outputs[0])
        signature.inputs, signature.outputs, signature.signatureKey = [], [entry], b"inner"
        model.signatureDefs = [signature]

    after = parse(slim(edited(network(), sign)))
    (signature,) = after.signatures
    assert after.main.tensors[signature.outputs["hidden"]].name == "conv_2d_0"


def test_data_is_aligned_to_sixteen_bytes() -> None:
    data = slim(network())
    start = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
    places = [buffer.__array_interface__["data"][0] - start for buffer in parse(data).buffers if buffer.size]
    offsets = [data.index(bytes(buffer)) for buffer in parse(data).buffers if buffer.size > 64]
    assert offsets and all(offset % 16 == 0 for offset in offsets)
    assert len(places) == len(set(places))


def test_equal_constants_become_one() -> None:
    net = Network((1, 4, 4, 2))
    first = net.conv(net.input, 4)
    second = net.conv(net.input, 4)
    net.graph.ops[1].inputs[1:] = _copies(net, net.graph.ops[0].inputs[1:])
    model = parse(slim(net.to_bytes(net.add(first, second))))
    one, other = (op.inputs[1:] for op in model.main.ops[:2])
    assert one == other


def _copies(net: Network, indices: list[int]) -> list[int]:
    from copy import copy

    for index in indices:
        net.graph.tensors.append(copy(net.graph.tensors[index]))
        net.graph.buffers.append(copy(net.graph.buffers[net.graph.tensors[index].buffer]))
        net.graph.tensors[-1].buffer = len(net.graph.buffers) - 1
        net.graph.tensors[-1].name = b"another name"
    return list(range(len(net.graph.tensors) - len(indices), len(net.graph.tensors)))


def test_unread_tensors_codes_metadata_and_ranges_go() -> None:
    def clutter(model: Any) -> None:
        unread, buffer, code = schema.TensorT(), schema.BufferT(), schema.OperatorCodeT()
        unread.name, unread.shape, unread.type, unread.buffer = b"unread", [64], 9, len(model.buffers)
        buffer.data = np.arange(64, dtype=np.uint8)
        model.buffers.append(buffer)
        model.subgraphs[0].tensors.append(unread)
        code.builtinCode = code.deprecatedBuiltinCode = 114
        model.operatorCodes.append(code)
        entry = schema.MetadataT()
        entry.name, entry.buffer = b"min_runtime_version", len(model.buffers) - 1
        model.metadata, model.description = [entry], b"made by somebody"
        for tensor in model.subgraphs[0].tensors:
            if tensor.quantization is None:
                tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.min, tensor.quantization.max = [-1.0], [1.0]

    plain, cluttered = network(), edited(network(), clutter)
    assert len(cluttered) > len(plain) + 200
    assert slim(cluttered) == slim(plain)


def test_zero_points_and_the_scales_of_biases_stay() -> None:
    model = unpacked(slim(network()))
    graph = model.subgraphs[0]
    for op in graph.operators[:3]:
        for index in op.inputs:
            quantization = graph.tensors[index].quantization
            assert len(quantization.scale) == len(quantization.zeroPoint) in (1, 16)


def test_an_empty_constant_is_no_missing_one() -> None:
    def scalar(model: Any) -> None:
        tensor, buffer = schema.TensorT(), schema.BufferT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = b"shape", [0], 2, len(model.buffers)
        buffer.data = np.empty(0, np.uint8)
        model.buffers.append(buffer)
        model.subgraphs[0].tensors.append(tensor)
        reshape = next(
            op for op in model.subgraphs[0].operators if len(op.inputs) == 2 and op.builtinOptionsType == 17
        )
        reshape.inputs = np.array([reshape.inputs[0], len(model.subgraphs[0].tensors) - 1], np.int32)

    model = unpacked(slim(edited(network(), scalar)))
    graph = model.subgraphs[0]
    (wanted,) = (tensor for tensor in graph.tensors if tensor.shape is not None and list(tensor.shape) == [0])
    assert wanted.buffer != 0 and len(model.buffers[wanted.buffer].data) == 0


def test_an_axis_out_of_range_is_mended() -> None:
    def misplace(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.tensors[graph.operators[0].inputs[2]].quantization.quantizedDimension = 3

    wrong = edited(network(), misplace)
    right, found = opened(network()), opened(wrong)
    assert isinstance(right, Opened) and not right.mended
    assert (
        isinstance(found, Opened) and found.mended and slim(wrong) == slim(found.loadable) == slim(network())
    )


def with_files(data: bytes) -> bytes:
    whole = io.BytesIO(data)
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr(zipfile.ZipInfo("labels.txt", (1980, 1, 1, 0, 0, 0)), b"cat\ndog\n")
        member = zipfile.ZipInfo("words.txt", (2020, 2, 2, 2, 2, 2))
        member.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(member, b"word " * 200)
    return whole.getvalue()


@pytest.mark.parametrize("work", [slim, lambda data: without_dead_channels(data).data])
def test_attached_files_come_along(work: Any) -> None:
    net = Network((1, 6, 6, 3))
    data = net.to_bytes(net.conv(net.conv(net.input, 8, dead=(1,), bias=-0.8), 4))
    found = work(with_files(data))
    assert found.startswith(work(data)) and work(found) == found
    with zipfile.ZipFile(io.BytesIO(found)) as archive:
        assert archive.testzip() is None
        assert {member.filename: member.date_time[0] for member in archive.infolist()} == {
            "labels.txt": 1980,
            "words.txt": 2020,
        }
        assert archive.read("labels.txt") == b"cat\ndog\n" and len(archive.read("words.txt")) == 1000
        # Offsets count from the start of the file, as strict readers want it.
        assert archive.infolist()[0].header_offset == found.index(b"PK\x03\x04") == len(work(data))
        assert archive.start_dir == int.from_bytes(found[-6:-2], "little")


def test_attached_files_that_cannot_be_read_keep_the_original() -> None:
    data = with_files(network())
    broken = data[:-40] + bytes(18) + data[-22:]
    assert "attached" in str(opened(broken)) and slim(broken) == broken


def test_a_file_that_cannot_be_smaller_is_returned() -> None:
    data = slim(network())
    assert slim(data) is data


def test_the_builder_tells_numbers_of_different_kinds_apart() -> None:
    def table(build: Any, value: Any) -> int:
        builder.StartObject(1)
        build(0, value, 0)
        return int(builder.EndObject())

    builder = SharingBuilder(64)
    whole, again = (table(builder.PrependInt32Slot, 1) for _ in range(2))
    real = table(builder.PrependFloat32Slot, 1.0)
    assert whole == again != real
    zeros = [table(builder.PrependFloat32Slot, 0.5), builder.CreateNumpyVector(np.zeros(3, np.float32))]
    assert builder.CreateNumpyVector(np.zeros(3, np.int32)) not in zeros
    assert builder.CreateNumpyVector(-np.zeros(3, np.float32)) not in zeros
    assert builder.CreateString("x") == builder.CreateString(b"x")


@pytest.mark.parametrize("work", [slim, opened, without_dead_channels])
def test_hostile_files_are_refused_or_read(work: Any) -> None:
    data = network()
    source = random.Random(0)
    refused = 0
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(source.randint(1, 6)):
            place = source.randrange(0, len(broken) - 4, 4)
            broken[place : place + 4] = source.choice(
                (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\0\0\0", bytes([7] * 4))
            )
        try:
            work(bytes(broken[: source.randrange(64, len(broken))] if source.random() < 0.2 else broken))
        except DamagedError as error:
            refused += bool(str(error))
    assert refused > 10


def test_a_tensor_that_claims_endless_channels_is_left_alone() -> None:
    def widen(model: Any) -> None:
        model.subgraphs[0].tensors[0].shape = np.array([1, 6, 6, 1 << 30], np.int32)

    found = without_dead_channels(edited(network(), widen))
    assert "more channels" in found.reason


FIGURES = {
    "kws_dscnn/kws_ref_model.tflite": (53_936, 33_936),
    "ic_resnet8/pretrainedResnet_quant.tflite": (98_496, 87_216),
}
"""Bytes before, and what other slimming reached: −37 % and −11.5 %."""


@pytest.mark.parametrize("name", FIGURES)
def test_published_models_lose_what_they_should(name: str, shared_models: Path) -> None:
    data = (shared_models / name).read_bytes()
    before, reached = FIGURES[name]
    assert len(data) == before and len(slim(data)) <= reached
    old, new = byte_ledger(parse(data)), byte_ledger(parse(slim(data)))
    assert old["weights"] == new["weights"] and new["quantization"] < 0.5 * old["quantization"]


def test_every_real_file_stays_sound_and_never_grows(shared_models: Path) -> None:
    files = sorted(shared_models.glob("*/*.tflite"))
    assert len(files) > 5
    for path in files:
        data = path.read_bytes()
        small = slim(data)
        assert len(small) <= len(data), path.name
        assert slim(small) == small, path.name
        assert len(written(unpacked(small), len(small))) == len(small), path.name
        assert [op.name for op in parse(small).main.ops] == [op.name for op in parse(data).main.ops]
