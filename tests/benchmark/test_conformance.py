"""Two processors' answers compared: which differences count."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from edgepack.benchmark.conformance import OutputConformance, output_conformance
from edgepack.emulation import Instructions, counting

REFERENCE = np.array([[1, 5, 3], [9, 2, 2], [0, 0, 7], [4, 3, 2]], np.int8)


def compared(
    *, reference_by: int = 0, default_by: int = 0, dtype: str = "int8", scale: float = 1.0
) -> OutputConformance:
    here = (REFERENCE * scale).astype(dtype)
    there, fast = here.copy(), here.copy()
    there[0, 0] += reference_by
    fast[0, 0] += default_by
    return output_conformance("y", here, there, here, fast)


def test_the_same_answers_conform() -> None:
    found = compared()
    assert found.identical and found.holds and found.integer and found.argmax_agreement == 1.0
    assert len(found.reference_sha256[0]) == 64


def test_one_bit_of_the_reference_kernels_is_too_much() -> None:
    found = compared(reference_by=1)
    assert not found.identical and found.reference_difference == 1 and not found.holds


@pytest.mark.parametrize(("by", "holds"), [(2, True), (-2, True), (3, False)])
def test_fast_kernels_have_two_steps(by: int, holds: bool) -> None:
    found = compared(default_by=by)
    assert found.identical and found.default_difference == abs(by) and found.holds is holds


def test_another_largest_element_is_too_much_however_small_the_step() -> None:
    here = np.array([[3, 4]], np.int8)
    found = output_conformance("y", here, here, here, np.array([[4, 3]], np.int8))
    assert found.default_difference == 1 and found.argmax_agreement == 0.0 and not found.holds


def test_floats_may_differ_as_sums_do() -> None:
    here = np.array([[1.0, 2.0]], np.float32)
    near, far = here * np.float32(1 + 1e-6), here * np.float32(1.001)
    assert output_conformance("y", here, near, here, near).holds
    assert not output_conformance("y", here, far, here, here).holds
    assert not output_conformance("y", here, here, here, far).holds
    # Dequantized integers: fast and reference kernels of one processor are a step apart as well.
    step = here + np.float32(0.01)
    assert output_conformance("y", here, here, step, here).holds


def test_the_spread_of_repeats() -> None:
    assert Instructions.of([100.0, 102.0]).stable
    assert not Instructions.of([100.0, 102.1]).stable
    assert Instructions.of([100.0, 102.0]).per_inference == 101.0
    assert doctest.testmod(counting).failed == 0
