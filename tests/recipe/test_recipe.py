"""Good recipes: what they mean, where their paths point, how they are written again."""

from __future__ import annotations

import json
import typing
from pathlib import Path

import pytest

from edgepack import device, recipe
from edgepack.recipe.model import Stage
from edgepack.stages import STAGES
from tests.recipe.conftest import EXAMPLE


def test_the_fixed_example(write) -> None:
    read = recipe.load(write())
    assert (read.name, read.version, read.order, read.seed) == ("digits", "1.0.0", "pipeline", 0)
    assert [stage.use for stage in read.stages] == ["prune", "cluster", "factorize"]
    assert read.stages[0].sparsity == 0.5 and read.stages[2].energy == 0.95
    assert read.data.calibration.inputs == "x" and read.preprocess.scale == 0.00392156862745098
    assert read.metric.name == "top1" and read.budget.max_drop == 0.005 and read.quantize.scheme == "int8"


def test_defaults(write) -> None:
    least = recipe.load(write({'[quantize]\nscheme = "int8"\n\n[budget]\nmax_drop = 0.005\n': ""}))
    assert least.quantize.scheme == "int8" and least.budget.max_drop == 0.005


def test_paths_are_relative_to_the_recipe(write, monkeypatch, tmp_path) -> None:
    path = write({"energy = 0.95": 'energy = 0.95\n[[stage]]\nuse = "distill"\nstudent = "small.keras"'})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    read = recipe.load(Path("..") / path.name)
    assert read.path == path.resolve() and read.directory == tmp_path.resolve()
    assert read.model_path == tmp_path.resolve() / "model.keras"
    assert read.stages[3].student == "small.keras"
    assert read.resolved_stage(read.stages[3]).student == str(tmp_path.resolve() / "small.keras")
    stage = read.stages[0]
    assert read.resolved_stage(stage) is stage


def test_writing_it_again_changes_nothing(write, tmp_path) -> None:
    changes = {
        'name = "digits"': 'name = "digits"\nlabels = ["ä", "\\"b\\"", "tab\\t"]',
        "sparsity = 0.5": 'sparsity = 0.5\nlayers = ["conv*", "!conv_1"]\n[[stage.target]]\nlayers = "d"\nsparsity = 0.1',
        "energy = 0.95": 'rank = [3, 4]\nform = "tucker"\ntrain = { epochs = 5, distill = true }',
        "offset = 0.0": 'offset = [0.0, -1.5e-30]\n[preprocess."odd name"]\nscale = 2.0',
    }
    first = recipe.load(write(changes))
    text = recipe.to_toml(first)
    (tmp_path / "again.toml").write_text(text)
    again = recipe.load(tmp_path / "again.toml")
    assert again.canonical_json() == first.canonical_json()
    assert recipe.to_toml(again) == text
    assert again.sha256 == first.sha256


def test_the_digest_tells_recipes_apart_but_not_places(write, tmp_path) -> None:
    here = recipe.load(write())
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "other.toml").write_text("# a comment\n" + EXAMPLE)
    assert recipe.load(tmp_path / "sub" / "other.toml").sha256 == here.sha256
    assert recipe.load(write({"0.95": "0.9"})).sha256 != here.sha256
    assert json.loads(here.canonical_json()) == here.to_json()


@pytest.mark.parametrize("version", ["1", "1.2", "0.0.1", "1.2.3-rc.1", "2.0.0+build5"])
def test_versions(version, write) -> None:
    assert recipe.load(write({'"1.0.0"': f'"{version}"'})).version == version


@pytest.mark.parametrize("scheme", ["float32", "float16", "dynamic"])
def test_schemes_without_calibration(scheme, write) -> None:
    calibration = '[data.calibration]\npath = "calib.npz"\ninputs = "x"\nlabels = "y"\n'
    assert recipe.load(write({calibration: "", '"int8"': f'"{scheme}"'})).data.calibration is None


def test_shipped_recipes_are_found_by_name() -> None:
    assert {"digits", "vision", "keyword_spotting", "sensor"} <= set(recipe.names())
    for name in recipe.names():
        read = recipe.load(name)
        assert read.path.stem == name and recipe.load(f"recipes/{name}.toml").sha256 == read.sha256


def test_the_union_of_stages_is_the_registry() -> None:
    union = typing.get_args(typing.get_args(Stage)[0])
    assert set(union) == set(STAGES.values())


def test_the_tighter_limit_wins(write) -> None:
    read = recipe.load(write({"max_drop = 0.005": "max_drop = 0.005\nmax_flash_bytes = 600_000"}))
    assert recipe.limits(read, None) == read.budget
    nrf, esp = device.load("cortex-m4-nrf52840"), device.load("esp32s3")
    assert recipe.limits(read, nrf).max_flash_bytes == nrf.budget_bytes == 524_288
    assert recipe.limits(read, esp).max_flash_bytes == 600_000 < esp.budget_bytes
    assert recipe.limits(read, nrf).max_drop == 0.005


def test_float_needs_the_recipe_and_the_device(write) -> None:
    strict, loose = recipe.load(write()), recipe.load(write({'"int8"': '"int8"\nallow_float = true'}))
    assert not recipe.float_allowed(strict, None)
    assert recipe.float_allowed(loose, None) and recipe.float_allowed(loose, device.load("rpi4"))
    assert not recipe.float_allowed(loose, device.load("rp2040"))
