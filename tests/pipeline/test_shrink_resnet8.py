"""ResNet8 at about half of its multiply-adds: a block out, channels out, a short distillation; faster, nearly as good."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgepack import benchmark
from edgepack.pipeline.result import BuildResult
from tests.pipeline.conftest import built
from tests.pipeline.shared_cases import arrays

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

WHOLE = 12_501_632
"""Multiply-adds of ResNet8."""
RECIPE = """
edgepack = 1
name = "resnet8"
version = "1.0.0"
[model]
path = "{models}/ic_resnet8/resnet8_jpg.h5"
[data.calibration]
{calibration}
[data.evaluation]
{evaluation}
[data.training]
{training}
[metric]
name = "top1"
{stages}
[quantize]
scheme = "int8"
[budget]
max_drop = {drop}
"""
HALF = """
[[stage]]
use = "shrink"
mode = "depth"
blocks = 1
train = false
[[stage]]
use = "shrink"
mode = "structured"
macs = 6_875_000
align = 2
layers = ["conv2d_3", "conv2d_6"]
[stage.train]
epochs = 32
learning_rate = 1e-3
batch_size = 64
mirror = true
shift = 4
distill = { alpha = 0.9, temperature = 4.0, hidden = 5.0 }
[[stage]]
use = "finetune"
[stage.train]
epochs = 32
learning_rate = 1e-3
batch_size = 64
mirror = true
distill = { alpha = 0.9, temperature = 4.0 }
"""
"""Narrowed inside the blocks only: what flows between them keeps its width, and is held to the teacher's at first; then
only the answers are (FitNets: hints before soft targets)."""


def result(folder: Path, models: Path, name: str, stages: str, drop: float) -> BuildResult:
    recipe = folder / f"{name}.toml"
    sources = {
        table: arrays("ic_resnet8", file).format(models=models)
        for table, file in (("calibration", "calib"), ("evaluation", "test_jpg"), ("training", "train_jpg"))
    }
    recipe.write_text(RECIPE.format(models=models, stages=stages, drop=drop, **sources))
    return built(recipe, folder / name, folder / "cache")[0]


def test_half_of_the_work_is_faster_and_nearly_as_good(shared_models: Path, tmp_path: Path) -> None:
    small = result(tmp_path, shared_models, "half", HALF, 0.025).packages[0]
    plain = result(tmp_path, shared_models, "plain", "", 0.01).packages[0]
    assert small.tflite is not None and plain.tflite is not None
    compared = benchmark.compare(small.tflite, plain.tflite)
    assert compared.ratio <= 0.75
    assert small.metric is not None and small.metric.drop <= 0.025, small.metric
