"""The plan for people and scripts."""

from __future__ import annotations

import json

from edgepack import plan
from edgepack.stages import Cluster, Factorize, Prune


def test_cells_say_what_and_why(cnn) -> None:
    resolved = plan.resolve([Prune(sparsity=0.5), Cluster(clusters=16), Factorize(energy=0.95)], cnn)
    assert plan.columns(resolved) == ["1 prune (one shot)", "2 cluster (one shot)", "3 factorize (one shot)"]
    shown = {row.layer: plan.cells(resolved, row) for row in resolved.rows}
    assert shown["conv_3"][:2] == ["sparsity 0.5", "16 clusters per channel"]
    assert shown["conv_3"][2].startswith("left alone: energy = 0.95 needs rank")
    assert shown["norm"][0] == "left alone: BatchNormalization has no kernel"
    assert shown["conv_2"][0] == "deferred: to conv_2_reduce, conv_2_expand, after [[stage]] 3 factorize"
    assert shown["conv_2_reduce"][2] == 'factor of "conv_2"'


def test_columns_name_one_shot_only_without_training(cnn) -> None:
    resolved = plan.resolve([Prune(sparsity=0.5), Factorize(energy=0.95)], cnn, has_training=True)
    assert plan.columns(resolved) == ["1 prune", "2 factorize"]


def test_the_ledger_has_a_reason_for_every_layer_without_work(cnn) -> None:
    resolved = plan.resolve([Prune(sparsity=0.5), Factorize(energy=0.95)], cnn)
    lines = {(line.stage, line.layer): line for line in plan.ledger(resolved)}
    assert all(line.reason for line in lines.values())
    assert lines["prune", "norm"].action == "left alone"
    assert lines["prune", "conv_2"].action == "deferred"
    assert ("prune", "conv_3") not in lines and ("factorize", "conv_3") in lines


def test_json_is_complete_and_plain(cnn) -> None:
    stages = [Prune(sparsity=0.5), Cluster(clusters=16), Factorize(energy=0.95)]
    document = plan.as_json(plan.resolve(stages, cnn))
    assert json.loads(json.dumps(document)) == document
    assert [stage["use"] for stage in document["stages"]] == ["prune", "cluster", "factorize"]
    conv = next(each for each in document["layers"] if each["layer"] == "conv_3")
    assert conv["stages"]["1"]["parameters"]["sparsity"] == 0.5
    assert {claim["kind"] for claim in document["claims"]} == {"sparsity", "clusters", "rank"}
