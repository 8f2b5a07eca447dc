"""The shift of a mean is what the layer itself computes for it; noise is ranked by what each op adds."""

from __future__ import annotations

import numpy as np

from edgepack.tflite.calibrated import Calibrated, Weighted
from edgepack.tflite.correcting import shift
from edgepack.tflite.noise import keras_layer, ranked
from tests.tflite.handmade_network import Network


def _layer(kind: str) -> Weighted:
    return Weighted(op=0, kind=kind, source=0, kernel=1, bias=2, output=3, activation="NONE")


def test_a_constant_input_moves_by_the_summed_kernel() -> None:
    random = np.random.default_rng(0)
    difference, mean = random.normal(size=(5, 3, 3, 4)), random.normal(size=4)
    moved = shift(_layer("CONV_2D"), difference, mean)
    assert moved is not None
    np.testing.assert_allclose(moved, np.einsum("ohwi,i->o", difference, mean))
    dense = shift(_layer("FULLY_CONNECTED"), difference[:, 0, 0], mean)
    assert dense is not None
    np.testing.assert_allclose(dense, difference[:, 0, 0] @ mean)


def test_depthwise_and_grouped_kernels_read_their_own_channels() -> None:
    random = np.random.default_rng(1)
    mean = random.normal(size=4)
    depthwise = random.normal(size=(1, 3, 3, 8))
    moved = shift(_layer("DEPTHWISE_CONV_2D"), depthwise, mean)
    assert moved is not None
    np.testing.assert_allclose(moved, depthwise.sum(axis=(0, 1, 2)) * np.repeat(mean, 2))
    grouped = random.normal(size=(6, 1, 1, 2))
    moved = shift(_layer("CONV_2D"), grouped, mean)
    assert moved is not None
    np.testing.assert_allclose(moved[:3], grouped[:3, 0, 0] @ mean[:2])
    np.testing.assert_allclose(moved[3:], grouped[3:, 0, 0] @ mean[2:])


def test_shapes_that_do_not_tell_are_left_alone() -> None:
    assert shift(_layer("FULLY_CONNECTED"), np.ones((2, 6)), np.ones(3)) is None
    assert shift(_layer("DEPTHWISE_CONV_2D"), np.ones((1, 3, 3, 4)), np.ones(3)) is None


def test_the_op_that_adds_most_noise_comes_first() -> None:
    net = Network((1, 6, 6, 3), integer=False)
    one = net.conv(net.input, 4)
    two = net.conv(one, 4)
    model = Calibrated(net.to_bytes(two))
    found = ranked(model, {net.input: 0.001, one: 0.5, two: 0.6}, ())
    assert [item.node for item in found] == [model.name(one), model.name(two)]
    assert (found[0].before, found[0].after) == (0.001, 0.5)
    assert "3.0 dB at its output, 30.0 dB at its input" in str(found[0])


def test_of_a_fused_op_the_layer_with_the_kernel_is_named() -> None:
    layers = ("bn", "conv", "relu")
    assert keras_layer("model/relu/Relu;model/bn/FusedBatchNormV3;model/conv/Conv2D1", layers) == "conv"
    assert keras_layer("model/relu/Relu", layers) == "relu"
    assert keras_layer("StatefulPartitionedCall:0", layers) == "StatefulPartitionedCall:0"
