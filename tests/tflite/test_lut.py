"""Kernels of few values by tables: what is written decodes to the weights, and only what gains is written."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack import tflite
from edgepack.tflite import lut
from edgepack.tflite.precheck import parse
from tests.tflite.handmade_tflite import Handmade, dense, per_channel

Array = npt.NDArray[np.int8]


def _levels(shape: tuple[int, ...], count: int) -> npt.NDArray[np.float32]:
    random = np.random.default_rng(count)
    return random.permutation(np.linspace(-1, 1, count).astype(np.float32))[random.integers(0, count, shape)]


def _decoded(data: bytes, decode: tflite.Op, number: int) -> Array:
    """What tflite-micro's decoder makes of a pair of inputs, by the format's description alone."""
    model = parse(data)
    tensors = model.main.tensors
    indices, header = (model.value(tensors[index]) for index in decode.inputs[2 * number : 2 * number + 2])
    assert indices is not None and header is not None
    result = tensors[decode.outputs[number]]
    bits, stride, axis = int(header[5]) & 7, int(header[6]), int(header[5]) >> 4
    assert (header[0], header[1], header[4]) == (0, 1, 1) and not header[7:16].any()
    stream = np.unpackbits(indices)[: result.elements * bits].reshape(-1, bits)
    codes = (stream * (1 << np.arange(bits - 1, -1, -1))).sum(axis=1).reshape(result.shape)
    tables = header[16:].view(np.int8).reshape(-1, stride)
    if axis == lut.ONE_TABLE:
        return tables[0][codes]
    moved = np.moveaxis(codes, axis, 0)
    return np.moveaxis(np.stack([tables[row][part] for row, part in enumerate(moved)]), 0, axis)


@pytest.mark.parametrize(("count", "bits"), [(2, 1), (3, 2), (7, 3), (16, 4), (17, 5), (100, 7)])
def test_tables_decode_to_the_weights(count: int, bits: int) -> None:
    data = dense(_levels((960, 16), count))
    made = lut.encoded(data)
    (table,) = made.tables
    assert (table.bits, table.weights, table.reader) == (bits, 960 * 16, "FULLY_CONNECTED")
    assert len(data) - len(made.data) == pytest.approx(table.saved_bytes, abs=700)
    decode, reader = parse(made.data).main.ops
    assert (decode.name, decode.custom, reader.name) == (lut.DECODE, True, "FULLY_CONNECTED")
    before = parse(data)
    kernel = before.value(before.main.tensors[before.main.ops[0].inputs[1]])
    assert kernel is not None
    np.testing.assert_array_equal(_decoded(made.data, decode, 0), kernel)
    assert reader.inputs[1] == decode.outputs[0]


def _depthwise(values: npt.NDArray[np.float32]) -> bytes:
    stored, scale = per_channel(values, 3)
    made = Handmade()
    channels = values.shape[-1]
    source = made.tensor("x", (1, 8, 8, channels), scale=0.1)
    kernel = made.tensor("k", values.shape, scale=scale, axis=3, value=stored)
    target = made.tensor("y", (1, 8, 8, channels), scale=0.1)
    made.op("DEPTHWISE_CONV_2D", [source, kernel, -1], [target])
    return made.to_bytes([source], [target])


def test_a_depthwise_kernel_has_its_channels_last() -> None:
    data = _depthwise(_levels((1, 25, 25, 8), 4))
    made = lut.encoded(data)
    (table,) = made.tables
    assert (table.tables, table.bits) == (8, 2)
    model, before = parse(made.data), parse(data)
    kernel = before.value(before.main.tensors[1])
    assert kernel is not None
    np.testing.assert_array_equal(_decoded(made.data, model.main.ops[0], 0), kernel)


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        (_levels((96, 64), 200), "no kernel has so few values"),
        (_levels((8, 8), 2), "no kernel has so few values"),  # the operator would take more than it saves
    ],
)
def test_what_gains_nothing_stays_as_it_is(kernel: npt.NDArray[np.float32], reason: str) -> None:
    data = dense(kernel)
    made = lut.encoded(data)
    assert made.data == data and not made.tables
    assert reason in made.reason


def test_the_same_bytes_each_time() -> None:
    data = dense(_levels((96, 64), 16))
    assert lut.encoded(data).data == lut.encoded(data).data


@given(st.lists(st.integers(0, 127), min_size=1, max_size=40), st.integers(1, 7))
@settings(max_examples=40)
def test_indices_lie_highest_bit_first(codes: list[int], bits: int) -> None:
    kept = [code % (1 << bits) for code in codes]
    text = "".join(f"{code:0{bits}b}" for code in kept)
    padded = text.ljust(-(-len(text) // 8) * 8, "0")
    expected = int(padded, 2).to_bytes(len(padded) // 8, "big")
    assert lut.packed(np.array(kept, np.uint8), bits) == expected
