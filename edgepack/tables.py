"""TOML files into frozen models; what is wrong is said with file, table, key and the nearest valid name.

Recipes and device profiles are read the same way: `read` gives the tables, `validate` a pydantic model, and
every complaint of pydantic becomes one line such as ``recipes/kws.toml: [[stage]] 2 "use": "factorise" is
unknown; did you mean "factorize"?``
"""

from __future__ import annotations

import difflib
import re
import sys
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from edgepack import errors

if TYPE_CHECKING:
    from pydantic import BaseModel

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_BYTES = 1_000_000
"""A recipe or profile is a page of text; a larger file is a mistake."""

Model = TypeVar("Model", bound="BaseModel")
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
                f"{path}: {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} expected of a {noun}"
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
    return parse(text, path)


def parse(text: str, source: Path | str) -> dict[str, Any]:
    """The tables of TOML text that stands, or will stand, in `source`.

    Raises:
      RecipeError: not TOML (with line and column).
    """
    try:
        tables: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise errors.RecipeError(f"{source}: not valid TOML: {error}") from None
    except RecursionError:
        raise errors.RecipeError(f"{source}: not valid TOML: nested too deeply") from None
    return tables


def validate(model: type[Model], tables: Mapping[str, Any], *, source: Path | str) -> Model:
    """Checks tables against a model.

    Raises:
      RecipeError: one line per complaint, each naming file, table and key.
    """
    from pydantic import ValidationError  # here: `read` alone must stay quick

    try:
        return model.model_validate(tables)
    except ValidationError as error:
        said: dict[str, list[str]] = {}
        for item in error.errors(include_url=False):
            where, what = _complaint(model, tables, item)
            said.setdefault(where, []).append(what)
        lines = [f"{source}: {where}{_joined(complaints)}" for where, complaints in said.items()]
        raise errors.RecipeError("\n".join(lines)) from None


def nearest(name: str, names: Iterable[str]) -> str:
    """``; did you mean "x"?`` where one of the names is near, else the list of all of them (or nothing to
    list).

    Example:
      >>> nearest("clusterz", ["prune", "cluster"])
      '; did you mean "cluster"?'
    """
    known = sorted(set(names))
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; known: {', '.join(known)}" if known else ""


def _complaint(model: type[BaseModel], tables: Mapping[str, Any], item: Mapping[str, Any]) -> tuple[str, str]:
    """Where (with a colon, or nothing for the whole file) and what."""
    location, kind, context = tuple(item["loc"]), item["type"], item.get("ctx", {})
    fields, shown = _follow(model, location[:-1] if kind == "extra_forbidden" else location)
    if kind == "extra_forbidden":
        return _unknown(model, tables, (*shown, str(location[-1])), fields)
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        where = _where(tables, (*shown, context["discriminator"].strip("'")))
        if kind == "union_tag_not_found":
            return where, "is missing"
        known = [tag.strip().strip("'") for tag in context["expected_tags"].split(",")]
        return where, f'"{context["tag"]}" is unknown{nearest(str(context["tag"]), known)}'
    where = _where(tables, shown)
    if kind == "missing":
        return where, "is missing"
    if kind == "literal_error" and isinstance(item["input"], str):
        known = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        return where, f'"{item["input"]}" is unknown{nearest(item["input"], known)}'
    message: str = item["msg"].removeprefix("Value error, ")
    if kind == "value_error":
        return where, message
    return where, f"expected {_expectation(kind, message, context)}; got {_got(item['input'])}"


def _unknown(
    model: type[BaseModel], tables: Mapping[str, Any], location: Location, fields: list[str]
) -> tuple[str, str]:
    unknown = str(location[-1])
    close = difflib.get_close_matches(unknown, fields, n=1)
    if len(location) > 1 and unknown in model.model_fields and not close:
        return _where(tables, location), "does not belong here: it stands at the top level of the file"
    noun = "table" if len(location) == 1 and isinstance(tables.get(unknown), Mapping | list) else "key"
    return _where(tables, location), f"unknown {noun}{nearest(unknown, fields)}"


_EXPECTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "finite_number": "a finite number",
}


def _expectation(kind: str, message: str, context: Mapping[str, Any]) -> str:
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind in ("too_short", "too_long"):
        bound, count = (
            ("at least", context["min_length"]) if kind == "too_short" else ("at most", context["max_length"])
        )
        return f"{bound} {count} item{'s' if count != 1 else ''}"
    return message.removeprefix("Input should be ").removeprefix("Input should ")


def _got(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    return "a table" if isinstance(value, Mapping) else repr(value)


def _joined(complaints: list[str]) -> str:
    """One line for one place: a union complains once for each of its members."""
    distinct = list(dict.fromkeys(complaints))
    split = [
        each.removeprefix("expected ").partition("; got ")
        for each in distinct
        if each.startswith("expected ")
    ]
    if len(distinct) > 1 and len(split) == len(distinct) and len({got for _, _, got in split}) == 1:
        return f"expected {' or '.join(wanted for wanted, _, _ in split)}; got {split[0][2]}"
    return "; ".join(distinct)


def _where(tables: Mapping[str, Any], location: Location) -> str:
    """Location in TOML's words: ``[[stage]] 2 "use": ``, ``[data.training] "path": ``; "" for the file."""
    value: Any = tables
    path: list[str] = []
    shown: list[str] = []
    key: str | None = None
    for part in location:
        if isinstance(part, int):
            inner = value[part] if isinstance(value, list) and part < len(value) else None
            if isinstance(inner, Mapping):
                shown.append(f"[[{'.'.join(path)}]] {part + 1}")
            else:
                key = f"{key}, item {part + 1}" if key else f"item {part + 1}"
            value = inner
            continue
        value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, Mapping):
            path.append(part)
            if shown and not shown[-1].startswith("[["):
                shown.pop()
            shown.append(f"[{'.'.join(path)}]")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            path.append(part)
        elif key is None:
            key = part
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        shown.append(f"[[{'.'.join(path)}]]")
    place = ", ".join(shown) + (f' "{key}"' if key else "")
    return f"{place.strip()}: " if place else ""


def _follow(model: type[BaseModel], location: Location) -> tuple[list[str], Location]:
    """Valid names where `location` ends, and the location without pydantic's own words for union members."""
    here: list[Any] = [model]
    shown: list[int | str] = []
    for part in location:
        models = _models(here)
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
        elif tagged := [item for item in models if _tag(item) == part]:
            here = tagged
        elif named := [item for item in models if item.__name__ == part]:
            here = named
        elif _UNION_WORD.search(part) is None:
            shown.append(part)
    return [name for item in _models(here) for name in item.model_fields], tuple(shown)


_UNION_WORD = re.compile(r"^(str|int|float|bool|none)$|\[|^(constrained|function|lax|nullable)-")


def _models(candidates: list[Any]) -> list[type[BaseModel]]:
    from pydantic import BaseModel

    return [item for item in candidates if isinstance(item, type) and issubclass(item, BaseModel)]


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
