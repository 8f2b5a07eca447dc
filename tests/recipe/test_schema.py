"""JSON Schema: what edgepack reads is valid, what it refuses is not, and keys say what they mean."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgepack.recipe.schema import Subject, json_schema

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
FILES = [
    *(("recipe", path) for path in sorted((ROOT / "recipes").glob("*.toml"))),
    *(("device", path) for path in sorted((ROOT / "devices").glob("*.toml"))),
]


@pytest.fixture(scope="module")
def validators() -> dict[str, Any]:
    made = {}
    for subject in ("recipe", "device"):
        schema = json_schema(subject)  # type: ignore[arg-type]
        jsonschema.Draft202012Validator.check_schema(schema)
        made[subject] = jsonschema.Draft202012Validator(schema)
    return made


@pytest.mark.parametrize(("subject", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_every_shipped_file_is_valid(subject: str, path: Path, validators: dict[str, Any]) -> None:
    validators[subject].validate(tomllib.loads(path.read_text()))


@pytest.mark.parametrize("subject", ["recipe", "device"])
def test_the_examples_are_valid(subject: Subject, validators: dict[str, Any]) -> None:
    from edgepack.device import Device
    from edgepack.recipe import Recipe

    (example,) = json_schema(subject)["examples"]
    validators[subject].validate(example)
    (Recipe if subject == "recipe" else Device).model_validate(example)


GOOD = [
    {"stage": [{"use": "prune", "sparsity": {"low": 0.3, "high": 0.8}}]},
    {"stage": [{"use": "cluster", "clusters": [8, 16]}]},
    {"stage": [{"use": "cluster", "layers": ["conv*", "!conv_1"], "train": False}]},
    {"stage": [{"use": "finetune", "train": {"early_stop": True, "distill": {"alpha": 0.5}}}]},
    {"preprocess": {"scale": 0.5, "ids": {"offset": 1}}},
    {"continuity": {"from": "old.edgepack"}},
]
BAD = [
    {"stage": [{"use": "prnue", "sparsity": 0.5}]},
    {"stage": [{"use": "prune", "sparsity": 1.5}]},
    {"stage": [{"use": "cluster", "clusters": 1}]},
    {"stage": [{"use": "cluster", "layers": 3}]},
    {"budget": {"max_dorp": 0.1}},
    {"budget": {"max_file_bytes": "many"}},
    {"model": {}},
    {"preprocess": {"scale": "x"}},
    {"quantize": {"scheme": "int9"}},
    {"edgepack": 2},
    {"continuity": {"package": "old.edgepack"}},
    {"unknown": {}},
]


@pytest.mark.parametrize("tables", GOOD, ids=str)
def test_what_a_recipe_may_say_passes(tables: dict[str, Any], validators: dict[str, Any]) -> None:
    validators["recipe"].validate({**json_schema("recipe")["examples"][0], **tables})


@pytest.mark.parametrize("tables", BAD, ids=str)
def test_what_a_recipe_may_not_say_fails(tables: dict[str, Any], validators: dict[str, Any]) -> None:
    assert not validators["recipe"].is_valid({**json_schema("recipe")["examples"][0], **tables})


def test_a_device_needs_its_keys(validators: dict[str, Any]) -> None:
    example = json_schema("device")["examples"][0]
    for key in ("kind", "dtypes", "runtime"):
        without = copy.deepcopy(example)
        del without[key]
        assert not validators["device"].is_valid(without)
    assert not validators["device"].is_valid({**example, "kind": "toaster"})


def test_every_key_says_what_it_means() -> None:
    schema = json_schema("recipe")
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    budget = schema["$defs"]["Budget"]["properties"]
    assert all(budget[key].get("description") for key in budget)
    assert "null" not in str(schema)
