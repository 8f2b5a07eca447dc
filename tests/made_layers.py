"""Layers as the gate would describe them, made without a model file."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from edgepack.facts import Kernel, LayerFacts

_ROLES = {
    "SeparableConv2D": ("depthwise", "pointwise"),
    "DepthwiseConv2D": ("depthwise",),
    "LSTM": ("kernel", "recurrent"),
    "Embedding": ("embedding",),
}


def _axes(role: str, dimensions: int) -> tuple[int, ...]:
    if role == "embedding":
        return ()
    return (dimensions - 2, dimensions - 1) if role == "depthwise" else (dimensions - 1,)


def make_layer(
    name: str,
    kind: str,
    *shapes: tuple[int, ...],
    rank: int | None = None,
    seed: int = 0,
    bias: int = 0,
    **config: Any,
) -> LayerFacts:
    """Facts of one layer with seeded normal weights; `rank` limits the rank of the last kernel's matrix."""
    generator = np.random.default_rng(seed)
    kernels = []
    for index, (role, shape) in enumerate(zip(_ROLES.get(kind, ("kernel",)), shapes, strict=False)):
        if rank is not None and index == len(shapes) - 1:
            rows = math.prod(shape[:-1])
            left, right = generator.normal(size=(rows, rank)), generator.normal(size=(rank, shape[-1]))
            array = (left @ right).reshape(shape)
        else:
            array = generator.normal(size=shape)
        axes = _axes(role, len(shape))
        kernels.append(
            Kernel(role=role, shape=shape, index=index, channel_axes=axes, weights=array.astype(np.float32))
        )
    return LayerFacts(
        name=name,
        kind=kind,
        kernels=tuple(kernels),
        parameters=sum(math.prod(shape) for shape in shapes) + bias,
        shared=1,
        config=config,
        feeds=(),
    )


def small_cnn() -> tuple[LayerFacts, ...]:
    """conv_2 and dense_1 have low rank, conv_3 and the last Dense have not."""
    return (
        make_layer("conv_1", "Conv2D", (3, 3, 1, 16)),
        make_layer("norm", "BatchNormalization", bias=64),
        make_layer("conv_2", "Conv2D", (3, 3, 16, 64), rank=4, bias=64),
        make_layer("conv_3", "Conv2D", (3, 3, 64, 32), bias=32),
        make_layer("dense_1", "Dense", (512, 64), rank=6, bias=64),
        make_layer("scores", "Dense", (64, 10), bias=10),
    )
