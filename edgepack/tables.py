"""TOML files into frozen models; what is wrong is said with file, table, key and the nearest valid name.

Recipes and device profiles are read the same way: `read` gives the tables, `validate` a pydantic model, and every
complaint of pydantic becomes one line such as
``recipes/kws.toml: [[stage]] 2 "use": "factorise" is unknown; did you mean "factorize"?``
"""

from __future__ import annotations

import difflib
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from edgepack import errors

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 1_000_000
"""A recipe or profile is a page of text; a larger file is a mistake."""

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[int | str, ...]


def read(path: Path, *, noun: str = "recipe") -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
      RecipeError: no such file, too large, not UTF-8 text, or not TOML (with line and column).
    """
    try:
        if path.is_dir():
            raise errors.RecipeError(f"{path}: is a folder; expected a {noun} file (.toml)")
        if path.stat().st_size > MAX_BYTES:
            raise errors.RecipeError(
                f"{path}: {path.stat().st_size:,} bytes; a {noun} has at most {MAX_BYTES:,}. Is it another file?"
            )
        text = path.read_bytes().decode()
    except FileNotFoundError:
        raise errors.RecipeError(f"{path}: no such file; expected a {noun} (.toml)") from None
    except UnicodeDecodeError as error:
        raise errors.RecipeError(
            f"{path}: not text (byte {error.start} is not UTF-8); expected a {noun} in TOML"
        ) from None
    except OSError as error:
        raise errors.StorageError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise errors.RecipeError(f"{path}: not valid TOML: {error}") from None
    except RecursionError:
        raise errors.RecipeError(f"{path}: not valid TOML: nested too deeply") from None


def validate(model: type[Model], tables: Mapping[str, Any], *, source: Path | str) -> Model:
    """Checks tables against a model.

    Raises:
      RecipeError: one line per complaint, each naming file, table and key.
    """
    try:
        return model.model_validate(tables)
    except ValidationError as error:
        lines = dict.fromkeys(
            f"{source}: {_complaint(model, tables, item)}" for item in error.errors(include_url=False)
        )
        raise errors.RecipeError("\n".join(lines)) from None


def nearest(name: str, names: Iterable[str]) -> str:
    """``; did you mean "x"?`` where one of the names is near, else the list of all of them (or nothing to list).

    Example:
      >>> nearest("clusterz", ["prune", "cluster"])
      '; did you mean "cluster"?'
    """
    known = sorted(set(names))
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; known: {', '.join(known)}" if known else ""


def _complaint(model: type[BaseModel], tables: Mapping[str, Any], item: Mapping[str, Any]) -> str:
    location, kind, context = tuple(item["loc"]), item["type"], item.get("ctx", {})
    fields, shown = _follow(model, location[:-1] if kind == "extra_forbidden" else location)
    if kind == "extra_forbidden":
        unknown = str(location[-1])
        where = _where(tables, (*shown, unknown))
        return f"{where}: unknown key{nearest(unknown, fields)}"
    where = _where(tables, shown)
    if kind == "missing":
        return f"{where}: is missing"
    if kind == "union_tag_not_found":
        return f"{_where(tables, (*shown, context['discriminator'].strip(chr(39))))}: is missing"
    if kind == "union_tag_invalid":
        known = [tag.strip().strip("'") for tag in context["expected_tags"].split(",")]
        where = _where(tables, (*shown, context["discriminator"].strip("'")))
        return f'{where}: "{context["tag"]}" is unknown{nearest(str(context["tag"]), known)}'
    if kind == "literal_error" and isinstance(item["input"], str):
        known = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        return f'{where}: "{item["input"]}" is unknown{nearest(item["input"], known)}'
    message = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if kind == "value_error" or kind.startswith("assertion"):
        return f"{where}: {message}"
    value = item["input"]
    got = (
        f"{type(value).__name__} {value!r}"
        if isinstance(value, str | int | float | bool)
        else _toml_kind(value)
    )
    return f"{where}: expected {message}; got {got}"


def _toml_kind(value: Any) -> str:
    return "a table" if isinstance(value, Mapping) else "a list" if isinstance(value, list) else repr(value)


def _where(tables: Mapping[str, Any], location: Location) -> str:
    """Location in TOML's own words: ``[[stage]] 2 "use"``, ``[data.calibration] "path"``, ``"name"``."""
    value: Any = tables
    header: list[str] = []
    number: int | None = None
    key: str | None = None
    for part in location:
        if isinstance(part, int):
            if isinstance(value, list) and part < len(value) and isinstance(value[part], Mapping):
                number, key = part + 1, None
            else:
                key = f"{key}, item {part + 1}" if key else f"item {part + 1}"
            value = value[part] if isinstance(value, list) and part < len(value) else None
            continue
        value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping) or (
            isinstance(value, list) and value and isinstance(value[0], Mapping)
        ):
            header.append(part)
        else:
            key = part if key is None else f"{key}.{part}"
    table = ".".join(header)
    shown = [f"[[{table}]] {number}" if number is not None else f"[{table}]"] if table else []
    shown += [f'"{key}"'] if key else []
    return " ".join(shown) or "the file"


def _follow(model: type[BaseModel], location: Location) -> tuple[list[str], Location]:
    """Valid names where `location` ends, and the location without pydantic's own words for union members."""
    here: list[Any] = [model]
    shown: list[int | str] = []
    for part in location:
        models = [item for item in here if isinstance(item, type) and issubclass(item, BaseModel)]
        holders = (
            [item.model_fields[part] for item in models if part in item.model_fields]
            if isinstance(part, str)
            else []
        )
        if holders:
            shown.append(part)
            here = [inner for field in holders for inner in _inner(field.annotation)]
        elif isinstance(part, int):
            shown.append(part)
        else:
            tagged = [item for item in models if _tag(item) == part]
            if tagged:
                here = tagged
            elif not models or not _is_union_word(part):
                shown.append(part)
    models = [item for item in here if isinstance(item, type) and issubclass(item, BaseModel)]
    return [name for item in models for name in item.model_fields], tuple(shown)


_UNION_WORDS = (
    "str",
    "int",
    "float",
    "bool",
    "none",
    "constrained",
    "function",
    "tuple",
    "list",
    "dict",
    "literal",
    "lax",
)


def _is_union_word(part: str) -> bool:
    return part[:1].isupper() or any(part.startswith(word) for word in _UNION_WORDS)


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("use")
    arguments = typing.get_args(field.annotation) if field is not None else ()
    return str(arguments[0]) if arguments else None


def _inner(annotation: Any) -> list[Any]:
    """Classes inside Optional, Union, Annotated, tuple and dict annotations."""
    origin = typing.get_origin(annotation)
    if origin is None:
        return [annotation]
    arguments = typing.get_args(annotation)
    if origin is typing.Annotated:
        return _inner(arguments[0])
    if origin in (typing.Union, types.UnionType, tuple, list, dict):
        return [inner for argument in arguments for inner in _inner(argument)]
    return [annotation]
