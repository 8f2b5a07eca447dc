"""Plans that go on once a factorization has decided its ranks."""

from __future__ import annotations

import pytest

from edgepack import plan
from edgepack.facts import LayerFacts
from edgepack.records import Claim
from edgepack.stages import Cluster, Factorize, Prune, splits
from tests.made_layers import make_layer

PRUNE, CLUSTER = Prune(sparsity=0.5), Cluster(clusters=16)
KFAC = Factorize(keep=0.5, method="kfac")


def factorized(cnn: tuple[LayerFacts, ...], name: str, form: str, rank: int) -> list[LayerFacts]:
    """The layers after `name` was replaced."""
    after = []
    for facts in cnn:
        if facts.name != name:
            after.append(facts)
            continue
        made = splits.factor_facts(facts, form, rank)
        shapes = [each.kernels[0].shape for each in made]
        after += [make_layer(each.name, each.kind, shape) for each, shape in zip(made, shapes, strict=True)]
    return after


def test_what_stands_before_it_waits_and_reaches_the_factors(cnn) -> None:
    first = plan.resolve([PRUNE, KFAC, CLUSTER], cnn, has_training=False)
    assert [(step.number, step.title) for step in first.steps] == [(2, "factorize")]
    assert [number for number, _ in first.later] == [1, 3]
    assert first.rows[0].cells[1].reason == "to layers decided at build"
    after = factorized(cnn, "conv_2", "spatial", 16)
    origins = {"conv_2_reduce": "conv_2", "conv_2_expand": "conv_2"}
    second = plan.resume(first, after, origins=origins)
    assert [(step.number, step.title) for step in second.steps] == [(1, "prune"), (3, "cluster")]
    assert {"conv_2_reduce", "conv_2_expand"} <= set(second.steps[0].layers)
    assert "conv_2" not in second.steps[0].layers


def test_a_selector_of_the_whole_layer_reaches_its_factors(cnn) -> None:
    named = Prune.model_validate({"sparsity": 0.5, "layers": "conv_2"})
    first = plan.resolve([KFAC, named], cnn)
    second = plan.resume(
        first,
        factorized(cnn, "conv_2", "spatial", 16),
        origins={"conv_2_reduce": "conv_2", "conv_2_expand": "conv_2"},
    )
    assert sorted(second.steps[0].layers) == ["conv_2_expand", "conv_2_reduce"]


@pytest.mark.parametrize("left", [True, False])
def test_ranks_are_claimed_once_they_are_known(cnn, left) -> None:
    first = plan.resolve([KFAC], cnn)
    assert Claim(layer="conv_2_reduce", kind="rank", wanted=None, stage=1) in first.claims
    found = {} if left else {"conv_2": {"rank": 6, "ranks": {"conv_2_reduce": 6}}}
    settled = plan.settle(first.claims, {1: found})
    assert [(claim.layer, claim.wanted) for claim in settled] == ([] if left else [("conv_2_reduce", 6.0)])


def test_strict_order_keeps_promises_over_the_break(cnn) -> None:
    first = plan.resolve([PRUNE, KFAC, CLUSTER], cnn, order="strict")
    assert [step.number for step in first.steps] == [1, 2]
    kept = first.promises["scores"].zeros
    second = plan.resume(first, factorized(cnn, "conv_2", "spatial", 16))
    assert second.promises["scores"].zeros == kept
    assert any(claim.layer == "scores" and claim.kind == "sparsity" for claim in second.claims)


def test_factors_are_not_factorized_again(cnn) -> None:
    first = plan.resolve([KFAC, Factorize(ratio=0.5, method="svd")], cnn)
    origins = {"conv_2_reduce": "conv_2", "conv_2_expand": "conv_2"}
    second = plan.resume(first, factorized(cnn, "conv_2", "spatial", 40), origins=origins)
    cells = {row.layer: row.cells for row in second.rows}
    assert cells["conv_2_reduce"][2].reason == "is a factor already"
