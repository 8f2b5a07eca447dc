"""Four-bit kernels answer as the same codes in int8; what does not fit stays, with the reason."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack import tflite
from edgepack.exact.proof import complaint
from edgepack.tflite.int4 import nibbles, pack, quarter
from edgepack.tflite.precheck import parse
from tests.tflite.handmade_tflite import dense


def _kernel(inputs: int, levels: int = 7) -> np.ndarray:
    random = np.random.default_rng(0)
    kernel = random.integers(-levels, levels + 1, (inputs, 6)).astype(np.float32)
    kernel[0] = levels  # so that the converter's scale is the grid's
    return kernel * random.uniform(0.01, 0.1, 6).astype(np.float32)


def test_the_answers_are_those_of_the_int8_container() -> None:
    data = dense(_kernel(16))
    packed = pack(data)
    assert packed.layers == ("y",) and not packed.left
    assert len(packed.data) < len(packed.regridded)
    assert complaint(packed.regridded, packed.data) == ""
    kernel = next(tensor for _, tensor in parse(packed.data).constants() if tensor.dtype == "int4")
    np.testing.assert_allclose(parse(packed.data).real(kernel), _kernel(16).T, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [(_kernel(15), "odd number"), (_kernel(16, levels=60), "more than 15 levels; ")],
)
def test_what_does_not_fit_stays(kernel: np.ndarray, reason: str) -> None:
    data = dense(kernel)
    packed = pack(data)
    assert packed.data == data and not packed.layers
    assert reason in packed.left[0][1]


@given(st.lists(st.integers(-7, 7), min_size=1, max_size=33))
@settings(max_examples=30)
def test_nibbles_are_read_back_as_they_were(codes: list[int]) -> None:
    stored = np.array(codes, np.int8)
    raw = nibbles(stored)
    assert len(raw) == -(-len(codes) // 2)
    assert tflite.model._nibbles(raw, signed=True)[: len(codes)].tolist() == codes


@given(st.lists(st.integers(-7, 7), min_size=1, max_size=33))
@settings(max_examples=30)
def test_the_converters_codes_are_recognised(codes: list[int]) -> None:
    wide = np.round(np.array(codes) * 127 / 7).astype(np.int8)
    found = quarter(wide)
    assert found is not None and found.tolist() == codes
