"""A recipe written as TOML again: what stands in the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from edgepack.recipe.model import Recipe


def to_toml(recipe: Recipe) -> str:
    """What the recipe says (defaults left out), as TOML in a canonical order: reading it gives an equal
    recipe.

    Example:
      >>> tables = {"edgepack": 1, "name": "x", "version": "1", "model": {"path": "m.h5"}}
      >>> to_toml(Recipe.model_validate({**tables, "quantize": {"scheme": "float16"}})).splitlines()[0]
      'edgepack = 1'
    """
    tables = recipe.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return "\n".join(_table(tables, ())).lstrip("\n") + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = []
    for key, value in table.items():
        if value is not None and not _is_table(value) and not _is_tables(value):
            lines.append(f"{_key(key)} = {toml_value(value)}")
    for key, value in table.items():
        name = ".".join(_key(part) for part in (*path, key))
        if _is_table(value):
            lines += ["", f"[{name}]", *_table(value, (*path, key))]
        elif _is_tables(value):
            for item in value:
                lines += ["", f"[[{name}]]", *_table(item, (*path, key))]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _key(key: str) -> str:
    return (
        key
        if key and all(char.isascii() and (char.isalnum() or char in "_-") for char in key)
        else json.dumps(key)
    )


def toml_value(value: Any) -> str:
    """A number, text or list of them as TOML writes it.

    Example:
      >>> toml_value(["a", 0.5, True])
      '["a", 0.5, true]'
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(toml_value(item) for item in value)}]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for DEL, which JSON lets through.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
