"""ResNet8 at 65 % of its convolutions' weights without training: the bar for `method = "kfac"`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.conftest import built

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

RECIPE = """
edgepack = 1
name = "resnet8-factorized"
version = "1.0.0"
[model]
path = "{models}/ic_resnet8/resnet8_jpg.h5"
[data.calibration]
path = "{models}/ic_resnet8/train_jpg.npz"
inputs = "x"
count = 1024
[data.evaluation]
path = "{models}/ic_resnet8/test_jpg.npz"
inputs = "x"
labels = "y"
[metric]
name = "top1"
[[stage]]
use = "factorize"
keep = 0.65
min_weights = 0
layers = {{ kinds = ["Conv2D"] }}
[quantize]
scheme = "float32"
[budget]
max_drop = 0.018
"""


def test_training_free_drop_stays_below_two_points(shared_models: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE.format(models=shared_models))
    result, _ = built(recipe, tmp_path / "out", tmp_path / "cache")
    made = result.packages[0]
    assert result.passed, made.reasons
    assert made.metric is not None and made.metric.samples == 2000 and made.metric.drop <= 0.018
    assert all(item.holds for item in made.invariants)
    ranks = {item.layer: item.found for item in made.invariants if item.kind == "rank"}
    assert ranks and set(ranks) <= {f"conv2d_{number}_reduce" for number in range(1, 9)}
