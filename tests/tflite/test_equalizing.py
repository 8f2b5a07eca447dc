"""Equalization leaves what a float model computes unchanged, and its channels alike; nothing it may not touch moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack import runtime
from edgepack.data import Affine, Dataset
from edgepack.runtime import tensors
from edgepack.tflite.calibrated import Calibrated
from edgepack.tflite.equalizing import equalize, frozen_layers, pairs
from tests.tflite.handmade_network import Network


def _dataset(folder: Path, count: int = 6) -> Dataset:
    path = folder / "x.npy"
    np.save(path, np.random.default_rng(1).normal(0, 1, (count, 8, 8, 3)).astype(np.float32))
    return Dataset(inputs={"x": path}, labels={}, preprocess={"x": Affine()}, count=count, sha256="0" * 64)


def _chain(activation: str = "relu") -> bytes:
    net = Network((1, 8, 8, 3), integer=False, seed=4)
    first = net.conv(net.input, 6, activation=activation)
    last = net.conv(net.depthwise(first), 8, activation=activation)
    return net.to_bytes(net.dense(net.flatten(net.pool(last)), 4))


def _scaled(data: bytes, seed: int = 0) -> Calibrated:
    """The same function with channels of very unlike ranges behind the first layer."""
    model = Calibrated(data)
    model.separate()
    first, second, *_ = model.weighted()
    factors = np.exp(np.random.default_rng(seed).uniform(-4, 4, 6))
    model.set_constant(first.kernel, model.constant(first.kernel) * factors.reshape(-1, 1, 1, 1))
    model.set_constant(first.bias, model.constant(first.bias) * factors)
    model.set_constant(second.kernel, model.constant(second.kernel) / factors)
    return model


def _run(model: Calibrated, data: Dataset, folder: Path) -> tuple[Path, Any]:
    path = folder / "model.tflite"
    path.write_bytes(model.to_bytes())
    runtime.predict(path, data, folder / "answers.npz")
    with np.load(folder / "answers.npz") as found:
        return path, {name: found[name] for name in found.files}


@pytest.mark.parametrize("per_tensor", [False, True])
def test_the_function_stays_and_the_channels_become_alike(tmp_path: Path, per_tensor: bool) -> None:
    data, model = _dataset(tmp_path), _scaled(_chain())
    path, before = _run(model, data, tmp_path)
    outputs = [layer.output for layer in model.weighted()]
    seen = tensors.observe(path, data, outputs, tmp_path)
    reach = {index: (found.channel_low, found.channel_high) for index, found in seen.items()}
    changed = equalize(model, reach, per_tensor=per_tensor)
    assert (
        len(changed) == 3
    )  # conv to depthwise, depthwise to conv, conv through pooling and flattening to dense
    path, after = _run(model, data, tmp_path)
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, rtol=1e-4, atol=1e-4)
    between = outputs[0]
    again = tensors.observe(path, data, [between], tmp_path)[between].reach
    assert again.max() / again.min() < 0.1 * seen[between].reach.max() / seen[between].reach.min()


def test_a_ceiling_is_never_crossed(tmp_path: Path) -> None:
    data, model = _dataset(tmp_path), Calibrated(_chain("relu6"))
    path, before = _run(model, data, tmp_path)
    outputs = [layer.output for layer in model.weighted()]
    seen = tensors.observe(path, data, outputs, tmp_path)
    equalize(
        model,
        {index: (found.channel_low, found.channel_high) for index, found in seen.items()},
        per_tensor=False,
    )
    _, after = _run(model, data, tmp_path)
    for name, values in before.items():
        np.testing.assert_allclose(after[name], values, rtol=1e-4, atol=1e-4)


def test_promised_and_shaped_kernels_stay(tmp_path: Path) -> None:
    model = Calibrated(_chain())
    model.separate()
    layers = list(model.weighted())
    reach = {layer.output: (np.zeros(8), np.ones(8)) for layer in layers[2:]}
    reach |= {layer.output: (np.zeros(6), np.linspace(1, 50, 6)) for layer in layers[:2]}
    assert not equalize(model, reach, per_tensor=False, frozen=lambda name: True)
    for layer in layers:
        kernel = model.constant(layer.kernel)
        assert kernel is not None
        model.set_constant(layer.kernel, np.where(np.abs(kernel) < np.median(np.abs(kernel)), 0.0, kernel))
    before = [model.constant(layer.kernel) for layer in layers]
    assert not equalize(model, reach, per_tensor=False)
    assert all(
        np.array_equal(model.constant(layer.kernel), kernel)
        for layer, kernel in zip(layers, before, strict=True)
    )


def test_a_tensor_with_two_readers_is_no_pair() -> None:
    net = Network((1, 8, 8, 3), integer=False)
    stem = net.conv(net.input, 4, size=1)
    branch = net.conv(stem, 4, size=1)
    model = Calibrated(net.to_bytes(net.add(stem, net.conv(branch, 4, size=1))))
    assert [pair.between for pair in pairs(model)] == [branch]


def test_names_are_matched_by_whole_components() -> None:
    frozen = frozen_layers({"conv"})
    assert frozen("model/conv/BiasAdd") and frozen("model/relu/Relu;model/conv/Conv2D")
    assert not frozen("model/conv_1/Conv2D")
