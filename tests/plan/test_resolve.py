"""What the planner decides, case by case."""

from __future__ import annotations

import pytest

from edgepack import errors, plan
from edgepack.stages import Cluster, Distill, Factorize, Finetune, Prune
from tests.made_layers import make_layer

PRUNE, CLUSTER, FACTORIZE = Prune(sparsity=0.5), Cluster(clusters=16), Factorize(energy=0.95)


def steps(resolved):
    return [(step.number, step.title, sorted(step.layers)) for step in resolved.steps]


def claims(resolved, kind):
    return {claim.layer: claim.wanted for claim in resolved.claims if claim.kind == kind}


def test_pipeline_defers_to_the_factors(cnn) -> None:
    resolved = plan.resolve([PRUNE, CLUSTER, FACTORIZE], cnn, has_training=True)
    factors = ["conv_2_expand", "conv_2_reduce", "dense_1_expand", "dense_1_reduce"]
    assert steps(resolved)[:3] == [
        (1, "prune", ["conv_3", "scores"]),
        (2, "cluster", ["conv_3", "scores"]),
        (3, "factorize", ["conv_2", "dense_1"]),
    ]
    assert [title for _, title, _ in steps(resolved)[3:]] == ["prune (deferred)", "cluster (deferred)"]
    assert set(resolved.steps[3].layers) <= set(factors)
    assert claims(resolved, "rank") == {"conv_2_reduce": 4.0, "dense_1_reduce": 6.0}
    assert all(wanted == 0.5 for wanted in claims(resolved, "sparsity").values())
    assert "conv_2" not in claims(resolved, "sparsity")


def test_every_training_keeps_what_was_promised(cnn) -> None:
    resolved = plan.resolve([PRUNE, CLUSTER, FACTORIZE, Finetune()], cnn, has_training=True)
    by_title = {step.title: step for step in resolved.steps}
    assert by_title["prune"].keep == {}
    assert by_title["cluster"].keep["conv_3"] == {"zeros": True, "clusters": None}
    assert by_title["factorize"].keep["conv_3"] == {"zeros": True, "clusters": "channel"}
    assert by_title["finetune"].keep["dense_1_reduce"] == {"zeros": True, "clusters": "channel"}
    assert by_title["finetune"].layers == {}


def test_cluster_waits_for_a_later_prune(cnn) -> None:
    resolved = plan.resolve([CLUSTER, PRUNE], cnn)
    assert [title for _, title, _ in steps(resolved)] == ["prune", "cluster (deferred)"]
    cell = next(row for row in resolved.rows if row.layer == "conv_3").cells[1]
    assert (cell.action, cell.reason) == ("deferred", "after [[stage]] 2 prune")
    assert claims(resolved, "clusters")["conv_3"] == 16


def test_stages_after_a_factorization_act_on_the_factors_at_their_place(cnn) -> None:
    resolved = plan.resolve([FACTORIZE, PRUNE], cnn)
    assert [title for _, title, _ in steps(resolved)] == ["factorize", "prune"]
    assert {"conv_3", "conv_2_reduce", "dense_1_reduce"} <= set(resolved.steps[1].layers)
    assert "conv_2" not in resolved.steps[1].layers


def test_strict_order_loses_openly(cnn) -> None:
    resolved = plan.resolve([PRUNE, CLUSTER, FACTORIZE], cnn, order="strict")
    assert [title for _, title, _ in steps(resolved)] == ["prune", "cluster", "factorize"]
    assert "conv_2" in resolved.steps[0].layers
    assert set(claims(resolved, "sparsity")) == {"conv_3", "scores"}
    lost = {(note.stage, note.layer) for note in resolved.notes if note.action == "lost"}
    assert lost == {(use, name) for use in ("prune", "cluster") for name in ("conv_2", "dense_1")}
    cell = next(row for row in resolved.rows if row.layer == "conv_2").cells[1]
    assert cell.action == "lost" and "replaces the layer" in cell.reason


def test_strict_prune_after_cluster_loses_the_clusters(cnn) -> None:
    resolved = plan.resolve([CLUSTER, PRUNE], cnn, order="strict")
    assert claims(resolved, "clusters") == {}
    assert resolved.steps[1].keep == {}


def test_filling_zeros_is_refused_in_pipeline_order(cnn) -> None:
    stages = [PRUNE, Cluster(clusters=8, preserve_sparsity=False)]
    with pytest.raises(errors.RecipeError, match=r'preserve_sparsity = false .* \[\[stage\]\] 1 .* "conv_2"'):
        plan.resolve(stages, cnn)
    strict = plan.resolve(stages, cnn, order="strict")
    assert claims(strict, "sparsity") == {} and claims(strict, "clusters")["conv_3"] == 8


def test_a_weaker_second_prune_or_cluster_is_left_alone(cnn) -> None:
    resolved = plan.resolve([Prune(sparsity=0.7), PRUNE, CLUSTER, Cluster(clusters=32)], cnn)
    assert [step.number for step in resolved.steps] == [1, 3]
    row = next(row for row in resolved.rows if row.layer == "conv_3")
    assert row.cells[2].reason == "already 70% zeros by [[stage]] 1"
    assert row.cells[4].reason == "already 16 clusters per channel by [[stage]] 3"
    assert claims(resolved, "sparsity")["conv_3"] == 0.7


def test_a_stronger_second_stage_replaces_the_claim(cnn) -> None:
    resolved = plan.resolve([PRUNE, Prune(sparsity=0.8), CLUSTER, Cluster(clusters=4)], cnn)
    assert len(resolved.steps) == 4
    assert claims(resolved, "sparsity")["conv_3"] == 0.8
    assert claims(resolved, "clusters")["conv_3"] == 4


def test_a_student_takes_over_what_was_meant_for_the_teacher(cnn) -> None:
    resolved = plan.resolve([PRUNE, Finetune(), Distill(width=0.5), CLUSTER], cnn, has_training=True)
    assert [step.title for step in resolved.steps] == ["finetune", "distill"]
    assert [(number, stage.use) for number, stage in resolved.later] == [(1, "prune"), (4, "cluster")]
    assert resolved.rows[0].cells[1].reason == "to the student"
    assert resolved.claims == ()
    resumed = plan.resume(resolved, cnn)
    assert [(step.number, step.settings.use) for step in resumed.steps] == [(1, "prune"), (4, "cluster")]
    assert claims(resumed, "sparsity")["conv_3"] == 0.5


def test_strict_distill_forgets_everything(cnn) -> None:
    resolved = plan.resolve([PRUNE, Distill(width=0.5)], cnn, order="strict", has_training=True)
    assert [step.title for step in resolved.steps] == ["prune", "distill"]
    assert resolved.claims == () and resolved.later == ()
    assert any(note.action == "lost" and note.layer == "conv_3" for note in resolved.notes)


def test_training_without_data_is_refused(cnn) -> None:
    with pytest.raises(errors.RecipeError, match=r"\[\[stage\]\] 2 finetune: needs \[data.training\]"):
        plan.resolve([PRUNE, Finetune()], cnn)


def test_without_training_data_stages_act_in_one_shot(cnn) -> None:
    assert not any(step.trains for step in plan.resolve([PRUNE, CLUSTER], cnn).steps)
    assert all(step.trains for step in plan.resolve([PRUNE, CLUSTER], cnn, has_training=True).steps)
    quiet = [Prune.model_validate({"sparsity": 0.5, "train": False})]
    assert not plan.resolve(quiet, cnn, has_training=True).steps[0].trains


def test_a_glob_that_matches_nothing_names_the_nearest_layer(cnn) -> None:
    stage = Prune.model_validate({"sparsity": 0.5, "layers": "desne_1"})
    with pytest.raises(errors.RecipeError, match=r'\[\[stage\]\] 1 prune: layers: "desne_1" .* "dense_1"\?'):
        plan.resolve([stage], cnn)
    factor = Prune.model_validate({"sparsity": 0.5, "layers": "dense_1_reduce"})
    resolved = plan.resolve([factor, FACTORIZE], cnn)
    assert list(resolved.steps[-1].layers) == ["dense_1_reduce"]


def test_a_stage_without_work_is_noted() -> None:
    resolved = plan.resolve([FACTORIZE], [make_layer("conv", "Conv2D", (3, 3, 8, 8))])
    assert resolved.steps == ()
    assert [note.reason for note in resolved.notes] == ["[[stage]] 1 acts on no layer"]


def test_costly_ranks_wait_for_the_build() -> None:
    wide = (make_layer("wide", "Dense", (1500, 1300)), make_layer("small", "Dense", (64, 64)))
    quick = plan.resolve([PRUNE, FACTORIZE], wide, exact=False)
    assert quick.rows[0].cells[2].action == "undecided"
    assert "decided at build" in quick.rows[0].cells[1].reason
    ratio = plan.resolve([PRUNE, Factorize(ratio=0.5)], wide, exact=False)
    assert ratio.rows[0].cells[2].action == "acts", "a ratio needs no singular values"


def test_claims_that_only_running_can_tell_are_settled(cnn) -> None:
    resolved = plan.resolve([Prune(sparsity=0.5, scope="global")], cnn)
    assert set(claims(resolved, "sparsity").values()) == {None}
    found = {1: {"conv_3": {"sparsity": 0.61, "kernels": {"kernel": {"sparsity": 0.62}}}}}
    settled = plan.settle(resolved.claims, found)
    assert [(claim.layer, claim.wanted) for claim in settled] == [("conv_3", 0.62)]


def test_a_second_factorization_leaves_factors_alone(cnn) -> None:
    resolved = plan.resolve([FACTORIZE, Factorize(ratio=0.5)], cnn)
    row = next(row for row in resolved.rows if row.layer == "conv_2_reduce")
    assert row.cells[2].reason == "is a factor already"
    assert "conv_3" in resolved.steps[1].layers
