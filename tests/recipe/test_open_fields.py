"""Fields that a recipe leaves open: found by what a value may be, refused by a build, closed for a trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgepack import errors
from edgepack.recipe import load
from edgepack.recipe.open_fields import closed, open_fields
from edgepack.recipe.opened import load_open

HEAD = """edgepack = 1
name = "x"
version = "1.0.0"
[model]
path = "model.keras"
[data.calibration]
path = "calib.npz"
[data.evaluation]
path = "evaluation.npz"
[metric]
name = "top1"
"""


def written(folder: Path, body: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(HEAD + body)
    return path


def names(*stages: dict[str, Any], **tables: Any) -> list[str]:
    return [field.name for field in open_fields({"stage": list(stages), **tables})]


def test_ranges_lists_and_choices_are_open_and_plain_values_are_not() -> None:
    prune = {"use": "prune", "sparsity": {"low": 0.3, "high": 0.8}, "block": [1, 4], "layers": ["a*", "!ab"]}
    cluster = {"use": "cluster", "clusters": [8, 16], "per": ["channel", "layer"]}
    rank = {"use": "factorize", "rank": {"choices": [8, 16]}}
    assert names(prune, cluster, rank) == [
        "prune.sparsity",
        "cluster.clusters",
        "cluster.per",
        "factorize.rank",
    ]


def test_what_is_valid_as_it_stands_is_closed() -> None:
    tucker = {"use": "factorize", "form": "tucker", "rank": [8, 16]}
    weighted = {"use": "finetune", "train": {"class_weights": {"0": 2.0, "3": 1.0}}}
    assert names(tucker, weighted, {"use": "prune", "layers": {"kinds": ["Dense"]}}) == []


def test_nested_tables_and_several_stages_of_a_kind() -> None:
    first = {"use": "finetune", "train": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}}}
    second = {"use": "finetune", "train": {"epochs": [1, 3], "distill": {"temperature": [2.0, 4.0]}}}
    target = {"use": "prune", "sparsity": 0.5, "target": [{"layers": "a", "sparsity": [0.1, 0.2]}]}
    assert names(first, second, target) == [
        "finetune.1.train.learning_rate",
        "finetune.2.train.epochs",
        "finetune.2.train.distill.temperature",
        "prune.target.1.sparsity",
    ]


def test_student_width_and_depth_and_the_rounding_of_weights() -> None:
    student = {"use": "distill", "width": {"low": 0.25, "high": 0.75, "step": 0.25}}
    depth = {"use": "shrink", "mode": "depth", "blocks": [1, 2]}
    assert names(student, depth, quantize={"weight_bits": [3, 4, 8], "weights": ["channel", "tensor"]}) == [
        "distill.width",
        "shrink.blocks",
        "quantize.weight_bits",
        "quantize.weights",
    ]


def test_closing_fills_in_every_field_and_leaves_the_tables_alone() -> None:
    tables = {"stage": [{"use": "prune", "sparsity": {"low": 0.3, "high": 0.8}, "block": [[1, 4], [1, 8]]}]}
    fields = open_fields(tables)
    filled = closed(tables, fields, {"prune.sparsity": 0.5, "prune.block": "[1, 8]"})
    assert filled == {"stage": [{"use": "prune", "sparsity": 0.5, "block": [1, 8]}]}
    assert isinstance(tables["stage"][0]["sparsity"], dict)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ('[[stage]]\nuse = "prune"\nsparsity = { low = 0.8, high = 0.3 }', "not below"),
        ('[[stage]]\nuse = "prune"\nsparsity = { low = 0.3, high = 1.3 }', "no value of this field"),
        ('[[stage]]\nuse = "prune"\nsparsity = { low = 0.3, high = 0.5, step = 0.4 }', "does not fit"),
        ('[[stage]]\nuse = "prune"\nsparsity = { low = 0.3, high = 0.5, log = 1 }', "log is true or false"),
        ('[[stage]]\nuse = "prune"\nsparsity = { low = "a", high = 0.5 }', "are numbers"),
        ('[[stage]]\nuse = "cluster"\nclusters = { choices = [8] }', "two or more"),
        ('[[stage]]\nuse = "cluster"\nclusters = { choices = [8, 1] }', "no value of this field"),
    ],
)
def test_a_range_that_cannot_be_one_is_told(body: str, word: str, tmp_path: Path) -> None:
    path = written(tmp_path, body)
    for read in (load, load_open):
        with pytest.raises(errors.RecipeError, match=word):
            read(path)


def test_a_build_refuses_an_open_recipe_and_says_what_to_run(tmp_path: Path) -> None:
    path = written(tmp_path, '[[stage]]\nuse = "prune"\nsparsity = { low = 0.3, high = 0.8 }')
    with pytest.raises(errors.RecipeError, match=r"prune\.sparsity = .*edgepack tune"):
        load(path)


def test_a_closed_recipe_has_nothing_to_tune(tmp_path: Path) -> None:
    with pytest.raises(errors.RecipeError, match="leaves nothing open"):
        load_open(written(tmp_path, '[[stage]]\nuse = "prune"\nsparsity = 0.5'))


def test_a_target_beside_stages_limits_the_search(tmp_path: Path) -> None:
    body = '[[stage]]\nuse = "prune"\nsparsity = [0.3, 0.5]\n[target]\ndelivered_bytes = 9000\n[budget]\nmax_file_bytes = 5'
    recipe = load_open(written(tmp_path, body)).some()
    assert recipe.target is None
    assert (recipe.budget.max_delivered_bytes, recipe.budget.max_file_bytes) == (9000, 5)
    assert recipe.budget.max_drop > 1e6  # only [target] said what accuracy may cost: nothing


def test_a_frozen_recipe_builds_from_another_folder(tmp_path: Path) -> None:
    path = written(tmp_path, '[[stage]]\nuse = "cluster"\nclusters = [8, 16]\n[tune]\ntrials = 3')
    opened = load_open(path)
    out = tmp_path / "deep" / "out"
    out.mkdir(parents=True)
    (out / "frozen.toml").write_text(opened.frozen({"cluster.clusters": 16}, out))
    frozen = load(out / "frozen.toml")
    assert frozen.directory == tmp_path and frozen.tune is None
    assert (
        frozen.model_copy(update={"relative_to": None}).stage == opened.closed({"cluster.clusters": 16}).stage
    )
    assert 'relative_to = "../.."' in (out / "frozen.toml").read_text()
