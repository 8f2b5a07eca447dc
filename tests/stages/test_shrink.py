"""Settings of the stage "shrink", and how the planner takes it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from edgepack import plan
from edgepack.plan import settle
from edgepack.stages import Factorize, Prune, Shrink
from tests.made_layers import small_cnn


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"keep": 0.5}, 'goal for mode = "structured"'),
        ({"mode": "structured"}, "exactly one of keep or macs"),
        ({"mode": "structured", "keep": 0.5, "macs": 9}, "got keep, macs"),
        ({"mode": "structured", "blocks": 1}, 'blocks goes with mode = "depth"'),
        ({"mode": "depth"}, "blocks, keep or macs"),
        ({"mode": "structured", "macs": 9, "of": "parameters"}, "goes with keep"),
        ({"train": {"epochs": 2}}, "nothing to train"),
    ],
)
def test_goals_that_say_nothing_or_too_much_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Shrink.model_validate(settings)


def test_exact_needs_no_data_and_trains_nothing() -> None:
    exact, structured = Shrink(), Shrink(mode="structured", keep=0.5)
    assert not exact.train.on and not exact.uses_statistics
    assert structured.train.on and structured.uses_statistics


def test_it_runs_first_and_later_stages_wait_for_its_model() -> None:
    stages = [Prune(sparsity=0.5, train=False), Shrink(mode="structured", keep=0.5, train=False)]
    resolved = plan.resolve(stages, small_cnn())
    assert [step.settings.use for step in resolved.steps] == ["shrink"]
    assert [stage.use for _, stage in resolved.later] == ["prune"]
    assert {claim.kind for claim in resolved.claims} == {"channels"}


def test_its_promise_stands_until_a_later_stage_replaces_the_layer() -> None:
    stages = [Shrink(mode="structured", keep=0.5, train=False), Factorize(energy=0.9, train=False)]
    facts = small_cnn()
    first = plan.resolve(stages, facts)
    second = plan.resume(first, facts)
    replaced = {layer for step in second.steps for layer in step.layers}
    assert replaced
    left = {claim.layer for claim in second.claims if claim.kind == "channels"}
    assert left == {claim.layer for claim in first.claims} - replaced


def test_widths_found_settle_the_claims() -> None:
    resolved = plan.resolve([Shrink(mode="structured", keep=0.5, train=False)], small_cnn())
    layer = resolved.claims[0].layer
    (claim,) = settle(resolved.claims, {1: {layer: {"channels": 8}}})
    assert claim.layer == layer and claim.wanted == 8.0


def test_layers_left_out_are_told() -> None:
    resolved = plan.resolve([Shrink(mode="structured", keep=0.5, layers="conv*", train=False)], small_cnn())
    (step,) = resolved.steps
    assert set(step.layers) == {row.layer for row in resolved.rows if row.layer.startswith("conv")}
