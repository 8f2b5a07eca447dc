"""What is seen inside a running model is what its ops compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgepack.data import Dataset
from edgepack.runtime import tensors
from tests.tflite.handmade_network import Network


def test_ranges_and_means_are_those_of_the_values(dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 2, (5, 4, 4, 3)).astype(np.float32)
    net = Network((1, 4, 4, 3), integer=False)
    path = tmp_path / "m.tflite"
    path.write_bytes(net.to_bytes(net.conv(net.input, 2)))
    found = tensors.observe(path, dataset(x=values), [net.input], tmp_path)[net.input]
    np.testing.assert_allclose(found.channel_low, values.min(axis=(0, 1, 2)))
    np.testing.assert_allclose(found.channel_mean, values.mean(axis=(0, 1, 2), dtype=np.float64), atol=1e-6)
    assert (found.low, found.high) == (float(values.min()), float(values.max()))
    assert found.histogram.sum() == values.size
    raised = tensors.observe(path, dataset(x=values), [net.input], tmp_path, floors={"x": -1.0})
    assert raised[net.input].low == -1.0


def test_a_model_has_no_noise_against_itself(dataset: Callable[..., Dataset], tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 1, (3, 4, 4, 3)).astype(np.float32)
    for name, integer in (("float", False), ("int8", True)):
        net = Network((1, 4, 4, 3), integer=integer)
        first = net.conv(net.input, 2)
        (tmp_path / f"{name}.tflite").write_bytes(net.to_bytes(net.conv(first, 2)))
        if not integer:
            float_first = first
    same = tensors.compare(
        tmp_path / "float.tflite", tmp_path / "float.tflite", dataset(x=values), [(float_first,) * 2]
    )
    assert same[0].ratio == 0.0 and same[0].signal > 0.0
    other = tensors.compare(
        tmp_path / "float.tflite", tmp_path / "int8.tflite", dataset(x=values), [(float_first, first)]
    )
    assert other[0].ratio > 0.0
