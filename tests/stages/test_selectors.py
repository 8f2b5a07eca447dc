"""Globs, kinds and sizes."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edgepack.stages.selectors import Selector


@pytest.mark.parametrize(
    ("written", "refusal"),
    [
        ("conv*", None),
        ("dense*", 'not selected by "dense*"'),
        (["dense", "conv_?"], None),
        (["conv*", "!conv_1"], 'excluded by "!conv_1"'),
        (["!dense"], None),
        ({"kinds": ["Conv*"]}, None),
        ({"kinds": ["Dense"]}, 'Conv2D: not selected by "Dense"'),
        ({"kinds": ["!Conv2D"]}, 'Conv2D: excluded by "!Conv2D"'),
        ({"min_parameters": 1001}, "1,000 parameters: fewer than min_parameters = 1,001"),
        ({"max_parameters": 999}, "1,000 parameters: more than max_parameters = 999"),
        ({"names": ["conv_1"], "min_parameters": 1000, "max_parameters": 1000}, None),
    ],
)
def test_refusal(written, refusal) -> None:
    assert Selector.model_validate(written).refusal("conv_1", "Conv2D", 1000) == refusal


def test_a_factor_answers_to_its_origin() -> None:
    selector = Selector.model_validate(["dense", "!dense_expand"])
    assert selector.refusal("dense_reduce", "Dense", 10, origin="dense") is None
    assert selector.refusal("dense_expand", "Dense", 10, origin="dense") == 'excluded by "!dense_expand"'


def test_a_star_is_no_name() -> None:
    assert not Selector.model_validate("*").asks_for("conv", "Conv2D")
    assert not Selector.model_validate("!conv").asks_for("conv", "Conv2D")
    assert Selector.model_validate({"kinds": ["Conv2D"]}).asks_for("conv", "Conv2D")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"min_parameters": 5, "max_parameters": 4}, "selects nothing"),
        ([""], "has an empty name"),
        (["!"], "has an empty name"),
        ({"name": ["x"]}, "Extra inputs"),
        (3, "valid dictionary"),
    ],
)
def test_impossible(written, message) -> None:
    with pytest.raises(ValidationError, match=message):
        Selector.model_validate(written)
