"""What a recipe leaves open for `edgepack tune`: fields of stages and of `[quantize]` that are a range or a list of choices.

    sparsity = { low = 0.3, high = 0.8 }             # optional: step = 0.1, log = true
    clusters = [8, 16, 32]
    rank = { choices = [8, 16] }                     # where a list would itself be a value

A value that is valid as it stands is never open.
"""

from __future__ import annotations

import copy
import json
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.fields import FieldInfo

from edgepack.stages import STAGES
from edgepack.stages.quantize import Quantize

Path: TypeAlias = tuple[str | int, ...]
Value: TypeAlias = bool | int | float | str
"""A value as a study keeps it; lists and tables among choices are kept as JSON."""

RANGE: Final = frozenset({"low", "high", "log", "step"})


@dataclass(frozen=True, kw_only=True)
class OpenField:
    """One field that is left open.

    Attributes:
      name: such as "prune.sparsity"; with the number of the stage where there are several of a kind.
      path: where it stands in the tables.
      low, high: bounds of a range, both included; None for choices.
      step: distance of neighbouring values from `low` on; None for a continuous range.
      log: whether values are drawn evenly on a logarithmic scale.
      choices: the values themselves, as TOML has them; () for a range.
    """

    name: str
    path: Path
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether a range is one of integers: both bounds (and the step) are written without a point."""
        return all(isinstance(each, int) for each in (self.low, self.high, self.step or 1))

    def kept(self, choice: Any) -> Value:
        """A choice as a study keeps it."""
        primitive: Value = choice if isinstance(choice, bool | int | float | str) else json.dumps(choice)
        return primitive

    def decoded(self, value: Value) -> Any:
        """Inverse of `kept`; values of a range stay."""
        return next((choice for choice in self.choices if self.kept(choice) == value), value)

    def to_json(self) -> dict[str, Any]:
        if self.choices:
            return {"name": self.name, "choices": list(self.choices)}
        return {
            "name": self.name,
            "low": self.low,
            "high": self.high,
            "step": self.step,
            "log": self.log,
        }

    def told(self) -> str:
        """As the recipe has it, for a message."""
        if self.choices:
            return json.dumps(list(self.choices))
        return f"{{ low = {self.low}, high = {self.high} }}"


def open_fields(tables: Mapping[str, Any]) -> tuple[OpenField, ...]:
    """Every open field of the tables of a recipe, in their order.

    Raises:
      ValueError: a range or list that cannot be one: bounds the wrong way round, or values that the field does not take.

    Example:
      >>> [field.name for field in open_fields({"stage": [{"use": "cluster", "clusters": [8, 16]}]})]
      ['cluster.clusters']
    """
    found: list[OpenField] = []
    stages = tables.get("stage")
    if isinstance(stages, list):
        uses = [stage.get("use") if isinstance(stage, Mapping) else None for stage in stages]
        for number, (stage, use) in enumerate(zip(stages, uses, strict=True)):
            if isinstance(stage, Mapping) and isinstance(use, str) and use in STAGES:
                name = use if uses.count(use) == 1 else f"{use}.{number + 1}"
                found += _of_table(STAGES[use], stage, ("stage", number), name)
    quantize = tables.get("quantize")
    if isinstance(quantize, Mapping):
        found += _of_table(Quantize, quantize, ("quantize",), "quantize")
    return tuple(found)


def closed(
    tables: Mapping[str, Any], fields: Sequence[OpenField], values: Mapping[str, Value]
) -> dict[str, Any]:
    """The tables with a value in every open field.

    Example:
      >>> tables = {"stage": [{"use": "cluster", "clusters": [8, 16]}]}
      >>> closed(tables, open_fields(tables), {"cluster.clusters": 16})
      {'stage': [{'use': 'cluster', 'clusters': 16}]}
    """
    filled: dict[str, Any] = copy.deepcopy(dict(tables))
    for field in fields:
        holder: Any = filled
        for part in field.path[:-1]:
            holder = holder[part]
        holder[field.path[-1]] = copy.deepcopy(field.decoded(values[field.name]))
    return filled


def _of_table(model: type[BaseModel], table: Mapping[str, Any], path: Path, name: str) -> Iterator[OpenField]:
    for key, value in table.items():
        field = model.model_fields.get(key)
        if field is not None and isinstance(value, Mapping | list):
            yield from _of_value(field, value, (*path, key), f"{name}.{key}")


def _of_value(field: FieldInfo, value: Any, path: Path, name: str) -> Iterator[OpenField]:
    adapter = _adapter(field)
    if _fits(adapter, value):
        return
    if isinstance(value, Mapping) and {"low", "high"} <= set(value) <= RANGE:
        yield _range(adapter, value, path, name)
    elif isinstance(value, Mapping) and set(value) == {"choices"} and isinstance(value["choices"], list):
        yield _choices(adapter, value["choices"], path, name)
    elif isinstance(value, list) and value and all(_fits(adapter, each) for each in value):
        yield _choices(adapter, value, path, name)
    else:
        models = _models(field.annotation)
        tables = enumerate(value) if isinstance(value, list) else [(None, value)]
        for number, table in tables:
            for model in models if isinstance(table, Mapping) else ():
                inside = path if number is None else (*path, number)
                label = name if number is None else f"{name}.{number + 1}"
                yield from _of_table(model, table, inside, label)


def _range(adapter: TypeAdapter[Any], value: Mapping[str, Any], path: Path, name: str) -> OpenField:
    low, high, step, log = value["low"], value["high"], value.get("step"), value.get("log", False)
    numbers = [low, high] if step is None else [low, high, step]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers):
        raise ValueError(f'"{name}": low, high and step of a range are numbers; got {dict(value)}')
    if not isinstance(log, bool):
        raise ValueError(f'"{name}": log is true or false; got {log!r}')
    if not low < high:
        raise ValueError(f'"{name}": low = {low} is not below high = {high}')
    if step is not None and not 0 < step <= high - low:
        raise ValueError(f'"{name}": step = {step} does not fit between low = {low} and high = {high}')
    if log and (low <= 0 or step is not None):
        raise ValueError(f'"{name}": log = true needs low above 0, and no step')
    for bound in (low, high):
        _require(adapter, bound, name)
    return OpenField(name=name, path=path, low=low, high=high, step=step, log=log)


def _choices(adapter: TypeAdapter[Any], values: list[Any], path: Path, name: str) -> OpenField:
    if len(values) < 2 or any(values.index(each) != place for place, each in enumerate(values)):
        raise ValueError(f'"{name}": expected two or more different choices; got {json.dumps(values)}')
    for each in values:
        _require(adapter, each, name)
    return OpenField(name=name, path=path, choices=tuple(values))


def _require(adapter: TypeAdapter[Any], value: Any, name: str) -> None:
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        said = error.errors(include_url=False)[0]["msg"].removeprefix("Value error, ")
        raise ValueError(f'"{name}": {value!r} is no value of this field: {said}') from None


def _adapter(field: FieldInfo) -> TypeAdapter[Any]:
    """Judges a value as the recipe does: strictly, unless the field says otherwise."""
    whole: Any = field.annotation
    for limit in field.metadata:
        whole = Annotated[whole, limit]
    try:
        return TypeAdapter(whole, config=ConfigDict(strict=True))
    except PydanticUserError:  # a model has a configuration of its own
        return TypeAdapter(whole)


def _fits(adapter: TypeAdapter[Any], value: Any) -> bool:
    try:
        adapter.validate_python(value)
    except ValidationError:
        return False
    return True


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The tables that a value of this annotation may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for each in typing.get_args(annotation) for model in _models(each)]
