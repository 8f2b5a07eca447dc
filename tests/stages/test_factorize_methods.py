"""Method and goal of a factorization: what is decided when, and by what."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from edgepack.stages import Factorize, Target
from tests.made_layers import make_layer

DENSE = make_layer("dense", "Dense", (256, 64), bias=64)
SMALL = make_layer("small", "Dense", (16, 3))


@pytest.mark.parametrize(
    ("trains", "calibrated", "form", "method"),
    [
        (False, True, "auto", "kfac"),
        (True, True, "auto", "svd"),
        (False, False, "auto", "svd"),
        (False, True, "tucker", "svd"),
    ],
)
def test_auto_follows_the_data(trains, calibrated, form, method) -> None:
    stage = Factorize(ratio=0.5, form=form)
    assert stage.informed(trains=trains, calibrated=calibrated).method == method
    stated = Factorize(ratio=0.5, method="svd")
    assert stated.informed(trains=trains, calibrated=calibrated) is stated


@pytest.mark.parametrize(
    ("stage", "reason"),
    [
        (Factorize(energy=0.9, method="kfac"), "kfac: rank decided at build by calibration data"),
        (Factorize(keep=0.5, method="svd"), "svd: rank decided at build by all layers together"),
    ],
)
def test_ranks_that_need_data_or_all_layers_wait_for_the_build(stage, reason) -> None:
    decision = stage.plan_layer(Target(facts=DENSE, model_weights=10**6))
    assert decision.undecided and decision.acts and decision.reason == reason
    assert [(claim.layer, claim.wanted) for claim in decision.claims] == [("dense_reduce", None)]
    assert stage.decided_at_build and stage.uses_statistics == (stage.method == "kfac")
    assert not stage.plan_layer(Target(facts=SMALL, model_weights=10**6)).acts


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"keep": 0.5, "energy": 0.9}, "give exactly one of keep, energy, ratio, rank, max_error"),
        ({"energy": 0.9, "method": "kfac", "form": "tucker"}, 'method = "kfac" has no form = "tucker"'),
        ({"keep": 0.5, "form": "tucker"}, 'keep has no form = "tucker"'),
        ({"keep_macs": 0.5, "form": "tucker"}, 'keep_macs has no form = "tucker"'),
        ({"keep_macs": 0.5, "method": "svd"}, "keep_macs needs method"),
        ({"keep_macs": 0.5, "rank": 3}, "got rank, keep_macs"),
        ({"keep": 1.5}, "less than 1"),
    ],
)
def test_what_does_not_go_together_is_refused(settings, complaint) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Factorize.model_validate(settings)


def test_the_backend_gets_the_goal_and_the_statistics() -> None:
    asked = {}

    class Backend:
        def call(self, operation, **arguments):
            asked.update(arguments, operation=operation)
            return {"layers": {}}

    step = SimpleNamespace(layers={"dense": {"form": "auto", "rank": None}}, keep={})
    stage = Factorize(keep=0.5, method="kfac", min_saving=0.1)
    stage.apply(Backend(), Path("a"), Path("b"), step, None, 3, statistics=Path("s.npz"))
    assert asked["choice"] == {
        "method": "kfac", "goal": "keep", "value": 0.5, "keep_macs": None, "form": "auto",
        "min_saving": 0.1,
    }  # fmt: skip
    assert (asked["operation"], asked["statistics"], asked["calibration"]) == ("factorize", "s.npz", None)
    Factorize(energy=0.9).apply(Backend(), Path("a"), Path("b"), step, None, 3)
    assert asked["layers"] == step.layers


def test_multiply_adds_are_a_budget_of_the_whole_model() -> None:
    stage = Factorize(keep_macs=0.5).informed(trains=True, calibrated=False)
    assert stage.method == "kfac" and stage.decided_at_build and stage.goal == ("keep", 1.0)
    assert Factorize(keep=0.7, keep_macs=0.5).goal == ("keep", 0.7)
