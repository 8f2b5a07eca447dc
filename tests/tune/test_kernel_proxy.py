"""Predictions of a kernel: ordered as the real costs are, and bytes near those of a real compressor."""

from __future__ import annotations

import itertools

import brotli
import numpy as np
import pytest

from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.tune.kernel_proxy import KernelProxy, Treatment


def proxy(shape: tuple[int, ...] = (3, 3, 16, 32), *, known: bool = True) -> KernelProxy:
    draw = np.random.default_rng(0)
    kernel = draw.laplace(size=shape)
    inputs, outputs = int(np.prod(shape[:-1])), shape[-1]
    mixed = draw.normal(size=(inputs, inputs)) / inputs**0.5
    seen = LayerStatistics(
        mean=np.zeros((1, inputs)),
        covariance=(mixed @ mixed.T + 0.1 * np.eye(inputs))[None],
        gradient=np.diag(draw.uniform(0.1, 1.0, outputs))[None],
        positions=16.0,
        samples=100,
    )
    return KernelProxy(kernel, seen if known else None)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("repaired", [True, False])
def test_more_compression_costs_more_loss_and_fewer_bytes(known: bool, repaired: bool) -> None:
    kernel = proxy(known=known)
    treatments = {
        "zeros": [Treatment(zeros=share, repaired=repaired) for share in (0.0, 0.3, 0.6, 0.9)],
        "values": [Treatment(values=count, repaired=repaired) for count in (64, 16, 8, 4)],
        "bits": [Treatment(bits=count, repaired=repaired) for count in (8, 6, 4, 3)],
    }
    for name, row in treatments.items():
        costs = [kernel.cost(each) for each in row]
        assert all(a.loss < b.loss for a, b in itertools.pairwise(costs)), name
        assert all(a.delivered_bytes > b.delivered_bytes for a, b in itertools.pairwise(costs)), name


def test_structure_leaves_fewer_weights_and_costs_loss() -> None:
    kernel = proxy()
    whole, half = kernel.cost(Treatment()), kernel.cost(Treatment(keep=0.5))
    narrow = kernel.cost(Treatment(width=0.5))
    assert half.weights == pytest.approx(whole.weights / 2) and narrow.weights == whole.weights / 4
    assert whole.loss < half.loss and whole.loss < narrow.loss


@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.8])
def test_bytes_are_near_those_that_brotli_needs(zeros: float) -> None:
    kernel = proxy()
    weights = kernel.kernel.copy()
    weights[np.abs(weights) <= np.quantile(np.abs(weights), zeros)] = 0.0
    codes = np.rint(weights / np.abs(weights).max() * 127).astype(np.int8)
    real = len(brotli.compress(codes.tobytes(), quality=11))
    told = kernel.cost(Treatment(zeros=zeros, repaired=False, one_scale=True)).delivered_bytes
    assert told == pytest.approx(real + 3 * 32, rel=0.12)
