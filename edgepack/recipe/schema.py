"""JSON Schema of recipes and device profiles, for editors that check TOML while it is written (taplo, Even Better TOML).

The schema says what pydantic's own says, in the words of TOML: no nulls, the short forms that a table may have (a glob
for `layers`, false for `train`), and the meaning of every key.
"""

from __future__ import annotations

import copy
from typing import Any, Final, Literal

from pydantic import BaseModel

from edgepack.recipe.open_fields import RANGE
from edgepack.recipe.reference import meanings
from edgepack.stages import STAGES

Subject = Literal["recipe", "device"]
Schema = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_SILENT: Final = ("discriminator", "title")
"""Keywords that only other tools read, and titles that repeat the key."""


def json_schema(subject: Subject) -> Schema:
    """The schema of one kind of file.

    Example:
      >>> json_schema("device")["properties"]["kind"]["enum"]
      ['cpu', 'mcu', 'npu']
    """
    model = _model(subject)
    schema: Schema = model.model_json_schema(by_alias=True)
    definitions = schema.setdefault("$defs", {})
    models = _models()
    for name, definition in definitions.items():
        _explain(definition, models.get(name))
    _explain(schema, model)
    if subject == "recipe":
        _short_forms(definitions)
        _open_fields(definitions)
    cleaned: Schema = _cleaned(schema)
    told = {"$schema": DIALECT, "title": f"edgepack {subject}", **cleaned}
    return told | {"examples": [_example(subject)]}


def _model(subject: Subject) -> type[BaseModel]:
    if subject == "device":
        from edgepack.device import Device

        return Device
    from edgepack.recipe.model import Recipe

    return Recipe


def _models() -> dict[str, type[BaseModel]]:
    """Every model of the package by its class name, as definitions are named."""
    found: dict[str, type[BaseModel]] = {}
    waiting: list[type[BaseModel]] = [BaseModel]
    while waiting:
        for each in waiting.pop().__subclasses__():
            waiting.append(each)
            if each.__module__.startswith("edgepack."):
                found.setdefault(each.__name__, each)
    return found


def _explain(definition: Schema, model: type[BaseModel] | None) -> None:
    """Gives every key the meaning that stands under its field in the source."""
    if model is None or "properties" not in definition:
        return
    said = meanings(model)
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key in definition["properties"] and said.get(name):
            definition["properties"][key]["description"] = said[name]
    definition["description"] = " ".join((model.__doc__ or "").split("Example:")[0].split()).replace(
        "``", "`"
    )


def _short_forms(definitions: Schema) -> None:
    """What may stand in place of a table."""
    globs = {"type": "array", "items": {"type": "string"}}
    _also(definitions, "Selector", {"type": "string"}, globs)
    for name in ("Training", "Distillation", "EarlyStop"):
        _also(definitions, name, {"type": "boolean"})
    preprocess = definitions["Preprocess"]
    preprocess["properties"].pop("inputs")
    preprocess["additionalProperties"] = {"$ref": "#/$defs/InputPreprocess"}


def _also(definitions: Schema, name: str, *forms: Schema) -> None:
    if name in definitions:
        definitions[name] = {"anyOf": [definitions[name], *forms]}


def _open_fields(definitions: Schema) -> None:
    """Fields of stages and of `[quantize]` may be a range or a list of choices: `edgepack tune` searches them."""
    ends = {name: {"type": "boolean" if name == "log" else "number"} for name in sorted(RANGE)}
    bounds = {
        "type": "object",
        "properties": ends,
        "required": ["high", "low"],
        "additionalProperties": False,
    }
    choices = {"type": "object", "properties": {"choices": {"type": "array", "minItems": 1}}, "required": ["choices"],
               "additionalProperties": False}  # fmt: skip
    definitions["Range"] = {"description": "Left open for `edgepack tune`: from low to high.", **bounds}
    definitions["Choices"] = {"description": "Left open for `edgepack tune`: one of these.", **choices}
    for name in (*(stage.__name__ for stage in STAGES.values()), "Quantize"):
        for key, value in definitions[name]["properties"].items():
            if key in ("use", "layers", "train", "target", "data"):
                continue
            told = value.pop("description", "")
            listed = {"type": "array", "minItems": 1, "items": copy.deepcopy(value)}
            forms = [value, {"$ref": "#/$defs/Range"}, {"$ref": "#/$defs/Choices"}, listed]
            definitions[name]["properties"][key] = {"description": told, "anyOf": forms}


def _cleaned(value: Any, *, names: bool = False) -> Any:
    """Without nulls, which TOML does not have, and without keywords that say nothing here.

    Args:
      names: whether the keys are names of the user's, not keywords.
    """
    if isinstance(value, list):
        return [_cleaned(item) for item in value if item != {"type": "null"}]
    if not isinstance(value, dict):
        return value
    made = {
        key: _cleaned(item, names=key in ("properties", "$defs"))
        for key, item in value.items()
        if names or not (key in _SILENT or (key == "default" and item is None))
    }
    forms = made.get("anyOf")
    if not names and isinstance(forms, list) and len(forms) == 1:
        made.pop("anyOf")
        return {**forms[0], **made}
    return made


def _example(subject: Subject) -> Schema:
    """A file that is valid, as short as it can be."""
    if subject == "recipe":
        return {
            "edgepack": 1,
            "name": "digits",
            "version": "1.0.0",
            "model": {"path": "digits/digits.keras"},
            "data": {
                "calibration": {"path": "digits/calibration.npz", "inputs": "x"},
                "evaluation": {"path": "digits/evaluation.npz", "inputs": "x", "labels": "y"},
            },
            "metric": {"name": "top1"},
            "stage": [{"use": "cluster", "clusters": 16, "layers": "conv*"}],
            "budget": {"max_drop": 0.01},
        }
    return {
        "edgepack": 1,
        "name": "my-board",
        "title": "My board",
        "kind": "mcu",
        "architecture": "armv7e-m",
        "cpu": "Arm Cortex-M4",
        "runtime": "tflite-micro",
        "transport": "none",
        "budgeted_size": "flash",
        "float_allowed": False,
        "dtypes": ["int8"],
    }
