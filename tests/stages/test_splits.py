"""Factors on paper have the shapes of the factors that the backend makes."""

from __future__ import annotations

import pytest

from edgepack.stages import splits
from tests.made_layers import make_layer


@pytest.mark.parametrize(
    ("facts", "form", "rank", "factors"),
    [
        (
            make_layer("d", "Dense", (40, 30), bias=30),
            "dense",
            7,
            [("d_reduce", "Dense", (40, 7), 280), ("d_expand", "Dense", (7, 30), 240)],
        ),
        (
            make_layer("c", "Conv2D", (3, 5, 8, 16)),
            "spatial",
            4,
            [("c_reduce", "Conv2D", (3, 1, 8, 4), 96), ("c_expand", "Conv2D", (1, 5, 4, 16), 320)],
        ),
        (
            make_layer("c", "Conv2D", (3, 3, 8, 16)),
            "tucker",
            (4, 6),
            [
                ("c_reduce", "Conv2D", (1, 1, 8, 4), 32),
                ("c_core", "Conv2D", (3, 3, 4, 6), 216),
                ("c_expand", "Conv2D", (1, 1, 6, 16), 96),
            ],
        ),
        (
            make_layer("s", "SeparableConv2D", (3, 3, 8, 1), (1, 1, 8, 16), bias=16),
            "pointwise",
            3,
            [
                ("s_depthwise", "DepthwiseConv2D", (3, 3, 8, 1), 72),
                ("s_reduce", "Conv2D", (1, 1, 8, 3), 24),
                ("s_expand", "Conv2D", (1, 1, 3, 16), 64),
            ],
        ),
    ],
)
def test_factor_facts(facts, form, rank, factors) -> None:
    made = splits.factor_facts(facts, form, rank)
    assert [(each.name, each.kind, each.kernels[0].shape, each.parameters) for each in made] == factors
    assert made[-1].kernels[0].channel_axes == (len(factors[-1][2]) - 1,)
    assert made[0].feeds == (made[1].name,)


def test_factors_match_the_backend() -> None:
    from edgepack.backend.factors import factors
    from edgepack.gate.graph import Layer

    for kind, shapes, form, rank in [
        ("Dense", [(40, 30)], "dense", 5),
        ("Conv1D", [(3, 8, 16)], "conv1d", 5),
        ("Conv2D", [(3, 3, 8, 16)], "channel", 5),
        ("Conv2D", [(3, 3, 8, 16)], "spatial", 5),
        ("Conv2D", [(3, 3, 8, 16)], "tucker", (4, 5)),
        ("SeparableConv2D", [(3, 3, 8, 1), (1, 1, 8, 16)], "pointwise", 5),
    ]:
        facts = make_layer("layer", kind, *shapes)
        weights = tuple(kernel.array for kernel in facts.kernels)
        config = {"kernel_size": list(shapes[0][:2]), "use_bias": False}
        made = factors(Layer(name="layer", kind=kind, config=config, weights=weights), form, rank)
        planned = splits.factor_facts(facts, form, rank)
        assert [(each.name, each.kind, each.weights[0].shape) for each in made.layers] == [
            (each.name, each.kind, each.kernels[0].shape) for each in planned
        ]
