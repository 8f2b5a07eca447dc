"""Kernels are found again by content, whatever layout, scale, sign and rounding the converter gave them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgepack.tflite.model import Model
from edgepack.tflite.precheck import parse
from edgepack.tflite.weights import match
from tests.tflite.handmade_tflite import Handmade, per_channel

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(7)


def _file(*constants: tuple[str, Array, int | None]) -> Model:
    """Constants (name, float values in TFLite layout, axis of scales or None for float32)."""
    graph = Handmade()
    for name, values, axis in constants:
        if axis is None:
            graph.tensor(name, values.shape, "float32", value=values.astype(np.float32))
        else:
            stored, scale = per_channel(values, axis)
            graph.tensor(name, values.shape, scale=scale, axis=axis, value=stored)
    return parse(graph.to_bytes([0], [0]))


def _kernel(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("axis", [0, None])
def test_conv_kernel_with_folded_norm_of_either_sign(axis: int | None) -> None:
    kernel = _kernel(3, 3, 4, 8)
    folded = kernel.transpose(3, 0, 1, 2) * RNG.normal(size=(8, 1, 1, 1))
    model = _file(("other", _kernel(8, 3, 3, 4), 0), ("this", folded, axis))
    (found,) = match(kernel, (3,), model)
    assert found.tensor.name == "this"
    assert found.stored.shape == (8, 36)


def test_depthwise_with_multiplier_lies_channels_last() -> None:
    kernel = _kernel(3, 3, 4, 2)
    model = _file(("this", kernel.reshape(1, 3, 3, 8), 3))
    (found,) = match(kernel, (2, 3), model)
    assert found.stored.shape == (8, 9)


def test_gates_are_found_one_by_one() -> None:
    kernel = _kernel(5, 12)  # an LSTM's, three units
    gates = [(f"gate {number}", part.T, 0) for number, part in enumerate(np.split(kernel, 4, axis=1))]
    found = match(kernel, (1,), _file(*gates), pieces=4)
    assert [part.tensor.name for part in found] == ["gate 0", "gate 1", "gate 2", "gate 3"]


def test_zeros_and_clusters_are_counted_as_stored() -> None:
    values = RNG.choice([-0.5, 0.0, 0.25, 1.0], size=(20, 6)).astype(np.float32)
    (found,) = match(values, (1,), _file(("this", values.T, 0)))
    assert found.zeros == int((values == 0).sum())
    assert found.most_distinct <= 4


def test_zero_points_other_than_zero_count_as_zero() -> None:
    values = np.array([[0.0, 1.0, 0.0, 0.5]], np.float32).T
    graph = Handmade()
    graph.tensor("w", (1, 4), scale=0.01, zero_point=-20, value=np.array([[-20, 80, -20, 30]], np.int8))
    (found,) = match(values, (1,), parse(graph.to_bytes([0], [0])))
    assert found.zeros == 2


def test_equal_kernels_are_told_apart_by_name() -> None:
    kernel = _kernel(4, 4)
    model = _file(("model/first/MatMul", kernel.T, 0), ("model/second/MatMul", kernel.T, 0))
    (found,) = match(kernel, (1,), model, layer="second")
    assert found.tensor.name == "model/second/MatMul"


def test_a_stranger_is_not_taken_for_the_kernel() -> None:
    assert match(_kernel(3, 3, 1, 8), (3,), _file(("other", _kernel(8, 3, 3, 1), 0))) == ()


def test_channels_pruned_to_nothing_do_not_veto() -> None:
    kernel = _kernel(3, 3, 4, 8)
    kernel[..., 2:5] = 0.0
    (found,) = match(kernel, (3,), _file(("this", kernel.transpose(3, 0, 1, 2), 0)))
    assert found.zeros >= 3 * 36
