"""Small kernels with moments for the laws of the data-aware methods."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.obs_sweep import Curvature


@st.composite
def kernels(draw: Any) -> tuple[np.ndarray, Curvature]:
    """Weights [g, d, n] with some zeros, and a curvature: correlated inputs, some of them dead, outputs of all sizes."""
    groups, depth, outputs = draw(st.sampled_from([(1, 12, 5), (1, 70, 3), (6, 9, 1), (2, 7, 4), (1, 1, 3)]))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    weights = generator.standard_t(4, size=(groups, depth, outputs))
    weights[generator.random(weights.shape) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = 0.0
    layout = draw(st.sampled_from(["grouped", "blocks"])) if groups > 1 else "whole"
    return weights, Curvature.of(moments(generator, groups, depth, outputs, layout))


def moments(
    generator: np.random.Generator, groups: int, depth: int, outputs: int, layout: Any = "whole"
) -> LayerStatistics:
    """Moments of inputs that hang together; every fifth of them never moves."""
    inputs = generator.normal(size=(groups, 3 * depth, depth)) @ generator.normal(size=(groups, depth, depth))
    inputs[:, :, 4::5] = 1.0
    shared = 1 if layout == "blocks" else groups
    slopes = generator.normal(size=(shared, 40, outputs)) * 10.0 ** generator.integers(-3, 2, outputs)
    return LayerStatistics(
        mean=inputs.mean(axis=1),
        covariance=np.stack([np.cov(each.T, bias=True).reshape(depth, depth) for each in inputs]),
        gradient=slopes.swapaxes(1, 2) @ slopes / slopes.shape[1],
        positions=float(generator.integers(1, 50)),
        samples=3 * depth,
        layout=layout,
    )


def total(change: np.ndarray, curvature: Curvature) -> float:
    """The proxy loss, summed over the outputs as the loss depends on them."""
    return float((curvature.loss(change) * curvature.outputs).sum())
