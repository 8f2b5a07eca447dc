"""A new file said in the numbers of an old one: what stays, what changes, what other graphs do."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import errors, tflite
from edgepack.numerics.continuity import thresholds
from edgepack.tflite.continuing import Continuation, continued
from edgepack.tflite.slimming import slim
from tests.tflite.handmade_tflite import Handmade

INPUTS, HIDDEN = 24, 16


def two_layers(seed: int, *, units: int = 5, step: float = 0.05, moved: float = 0.0) -> bytes:
    """Two FULLY_CONNECTED, the first pruned by half and clustered; `moved` shifts the weights a little."""
    generator = np.random.default_rng(seed)
    values = np.array([-90, -40, 0, 35, 80])
    first = generator.choice(values, (HIDDEN, INPUTS))
    first[generator.random(first.shape) < 0.5] = 0
    later = np.random.default_rng(seed + 100)
    first = np.clip(first + np.rint(later.normal(0, 1, first.shape) * moved), -127, 127)
    second = np.clip(generator.integers(-100, 100, (units, HIDDEN)) + np.rint(moved), -127, 127)
    graph = Handmade()
    data = graph.tensor("x", (1, INPUTS), scale=step, zero_point=-3)
    kernel = graph.tensor(
        "k1", first.shape, scale=np.linspace(0.01, 0.02, HIDDEN), value=first.astype(np.int8)
    )
    bias = np.arange(HIDDEN, dtype=np.int32) * 50 + int(moved * 30)
    bias_1 = graph.tensor("b1", (HIDDEN,), "int32", scale=np.linspace(0.01, 0.02, HIDDEN) * step, value=bias)
    between = graph.tensor("h", (1, HIDDEN), scale=2 * step, zero_point=-128)
    kernel_2 = graph.tensor("k2", second.shape, scale=np.full(units, 0.02), value=second.astype(np.int8))
    result = graph.tensor("y", (1, units), scale=0.3, zero_point=4)
    graph.op("FULLY_CONNECTED", [data, kernel, bias_1], [between])
    graph.op("FULLY_CONNECTED", [between, kernel_2, -1], [result])
    return graph.to_bytes([data], [result])


def mixture(old: bytes, new: bytes, *, keeps_ranges: bool = True) -> Continuation:
    found = continued(old, new, keeps_ranges=keeps_ranges)
    assert isinstance(found, Continuation), found
    return found


def read(data: bytes) -> tflite.Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.tflite"
        path.write_bytes(data)
        return tflite.read(path)


def made(found: Continuation, share: float) -> tflite.Model:
    kernels = found.kernels()
    (threshold,) = thresholds([*kernels.values()], [share])
    return read(found.written(found.integers(kernels, np.inf if share == 0 else threshold)))


def kernels(model: tflite.Model) -> list[Any]:
    return [
        model.value(tensor)
        for tensor in model.main.tensors
        if tensor.dtype == "int8" and tensor.constant is not None
    ]


def test_the_same_model_again_is_the_same_model() -> None:
    old = two_layers(1)
    found = made(mixture(old, old), 1.0)
    assert all(np.array_equal(a, b) for a, b in zip(kernels(found), kernels(read(old)), strict=True))


def test_without_changes_every_integer_and_scale_is_the_old_one() -> None:
    old, new = two_layers(1), two_layers(1, step=0.07, moved=6.0)
    found, before = made(mixture(old, new), 0.0), read(old)
    for ours, theirs in zip(found.main.tensors, before.main.tensors, strict=True):
        assert ours.quantization is not None and theirs.quantization is not None
        np.testing.assert_array_equal(ours.quantization.scale, theirs.quantization.scale)
        np.testing.assert_array_equal(ours.quantization.zero_point, theirs.quantization.zero_point)
        a, b = found.value(ours), before.value(theirs)
        assert (a is None) == (b is None) and (a is None or np.array_equal(a, b))


def test_changes_keep_zeros_and_values_of_each_channel() -> None:
    old, new = two_layers(1), two_layers(1, moved=30.0)
    found = made(mixture(old, new), 1.0)
    ours, theirs = kernels(found)[0], kernels(read(old))[0]
    assert (ours != theirs).any() and not ours[theirs == 0].any()
    for row, before in zip(ours, theirs, strict=True):
        assert set(row.tolist()) <= set(before.tolist())


@pytest.mark.parametrize("keeps_ranges", [True, False])
def test_biases_are_in_the_scale_that_the_runtime_expects(keeps_ranges: bool) -> None:
    old, new = two_layers(1), two_layers(1, step=0.07, moved=4.0)
    found = made(mixture(old, new, keeps_ranges=keeps_ranges), 1.0)
    tensors = found.main.tensors
    source, kernel, bias = (tensors[index].quantization for index in found.main.ops[0].inputs)
    assert source is not None and kernel is not None and bias is not None
    np.testing.assert_allclose(bias.scale, source.scale[0] * kernel.scale, rtol=1e-5)
    wanted = (source.scale[0], 0.05 if keeps_ranges else 0.07)
    assert wanted[0] == pytest.approx(wanted[1])
    real = found.real(tensors[found.main.ops[0].inputs[2]])
    new_model = read(new)
    target = new_model.real(new_model.main.tensors[new_model.main.ops[0].inputs[2]])
    assert real is not None and target is not None
    np.testing.assert_allclose(real, target, atol=float(bias.scale.max()))


def test_another_head_goes_its_own_way_and_is_named() -> None:
    old, new = two_layers(1), two_layers(1, units=7, moved=3.0)
    assert continued(old, new, keeps_ranges=True) == "it is another graph"
    found = mixture(old, new, keeps_ranges=False)
    assert [kind for _, kind, _ in found.pairing.left] == ["FULLY_CONNECTED"]
    assert "[7, 16]" in found.pairing.left[0][2]
    model = made(found, 0.0)
    assert np.array_equal(kernels(model)[0], kernels(read(old))[0])
    assert np.array_equal(kernels(model)[1], kernels(read(new))[1])


def test_a_stranger_has_nothing_to_go_on_from() -> None:
    graph = Handmade()
    data = graph.tensor("x", (1, 4), scale=0.1, zero_point=0)
    result = graph.tensor("y", (1, 4), scale=0.1, zero_point=0)
    graph.op("RELU", [data], [result])
    stranger = graph.to_bytes([data], [result])
    assert (
        continued(stranger, two_layers(1), keeps_ranges=False)
        == "no layer of it has the form of one of the new model's"
    )


@pytest.mark.parametrize("wrong", [0.0, -1.0])
def test_scales_that_mean_nothing_are_not_taken_over(wrong: float) -> None:
    old = two_layers(1, step=0.05)
    spoilt = old.replace(np.float32(0.02).tobytes(), np.float32(wrong).tobytes())
    assert spoilt != old
    found = continued(spoilt, two_layers(1, moved=2.0), keeps_ranges=False)
    assert isinstance(found, str) or all(
        pair.kind != "FULLY_CONNECTED" or pair.op != 1 for pair in found.pairs
    )


def test_a_previous_release_that_was_tampered_with_never_crashes() -> None:
    """Flipped bytes either are refused as damage or give a file that reads."""
    old, new = slim(two_layers(1)), slim(two_layers(1, moved=4.0))
    generator = np.random.default_rng(0)
    mixed = 0
    for _ in range(400):
        spoilt = bytearray(old)
        for place in generator.integers(0, len(old), 3):
            spoilt[place] = int(generator.integers(256))
        for keeps_ranges in (True, False):
            try:
                found = continued(bytes(spoilt), new, keeps_ranges=keeps_ranges)
            except errors.EdgepackError:
                continue
            if isinstance(found, Continuation):
                kernels = found.kernels()
                data = found.written(found.integers(kernels, thresholds([*kernels.values()], [0.5])[0]))
                mixed += 1
                with contextlib.suppress(errors.EdgepackError):  # told as damage where the file is adopted
                    read(data)
    assert mixed > 100
