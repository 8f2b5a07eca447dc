"""`[target]`: what it may say, what it rules out, and what it becomes a limit of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edgepack.recipe import Recipe, limits
from edgepack.recipe.budget import UNLIMITED


def _recipe(target: dict[str, Any], **others: Any) -> Recipe:
    tables = {
        "edgepack": 1,
        "name": "x",
        "version": "1",
        "model": {"path": "m.h5"},
        "data": {
            "calibration": {"path": "c.npz", "inputs": "x"},
            "evaluation": {"path": "e.npz", "inputs": "x"},
            "training": {"path": "t.npz", "inputs": "x"},
        },
        "target": target,
        **others,
    }
    return Recipe.model_validate(tables).located(Path("r.toml"))


@pytest.mark.parametrize(
    ("target", "others", "told"),
    [
        ({}, {}, "says nothing; expected at least one of delivered_bytes"),
        ({"bytes": 5}, {}, "bytes"),
        ({"delivered_bytes": 0}, {}, "greater than 0"),
        ({"max_accuracy_drop": -0.1}, {}, "greater than or equal to 0"),
        (
            {"macs": 5},
            {"quantize": {"scheme": "float16"}},
            'plans int8 models; \\[quantize\\] scheme is "float16"',
        ),
        ({"macs": 5}, {"quantize": {"weight_bits": 4}}, "remove \\[quantize\\] weight_bits"),
        (
            {"macs": 5},
            {"stage": [{"use": "prune", "sparsity": 0.5}]},
            'stage\\]\\] 1 "prune": \\[target\\] decides',
        ),
        (
            {"macs": 5},
            {"stage": [{"use": "finetune"}, {"use": "shrink"}]},
            "comes after a finetune",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(target: dict[str, Any], others: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        _recipe(target, **others)


def test_what_is_aimed_at_is_also_judged() -> None:
    found = limits(
        _recipe({"delivered_bytes": 9, "macs": 7, "latency_ms": 0.5, "max_accuracy_drop": 0.2}), None
    )
    assert (found.max_delivered_bytes, found.max_macs, found.max_latency_ms, found.max_drop) == (
        9,
        7,
        0.5,
        0.2,
    )


def test_the_tighter_word_wins_and_bytes_alone_allow_any_drop() -> None:
    tight = _recipe({"delivered_bytes": 9}, budget={"max_delivered_bytes": 5, "max_drop": 0.1})
    assert (limits(tight, None).max_delivered_bytes, limits(tight, None).max_drop) == (5, 0.1)
    assert limits(_recipe({"delivered_bytes": 9}), None).max_drop == UNLIMITED


def test_fine_tuning_runs_behind_the_plan() -> None:
    recipe = _recipe({"macs": 5}, stage=[{"use": "finetune"}])
    assert recipe.stages_before_target == ()
    assert [stage.use for stage in recipe.stages_after_target] == ["finetune"]
