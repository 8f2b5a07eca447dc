"""The recipe's keys as Markdown, read from the models: ``python -m edgepack.recipe.reference`` rewrites it.

Keys, types, limits and defaults come from the models, meanings from the strings under their fields, so that
recipes/README.md cannot say anything else than the code. Only the part between the two marks is generated.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
import types
import typing
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from edgepack.data import DataSource, Preprocess
from edgepack.recipe.continuity import Continuity
from edgepack.recipe.model import Budget, Metric, ModelSource, Recipe, Target
from edgepack.recipe.packaging import Package
from edgepack.recipe.tuning import Tune
from edgepack.stages import STAGES
from edgepack.stages.cluster import ClusterTarget
from edgepack.stages.prune import PruneTarget
from edgepack.stages.quantize import Quantize
from edgepack.stages.selectors import Selector
from edgepack.stages.training import Distillation, EarlyStop, Training

BEGIN: Final = "<!-- reference: begin (python -m edgepack.recipe.reference) -->"
END: Final = "<!-- reference: end -->"

_TABLES: Final[tuple[tuple[str, type[BaseModel], tuple[str, ...]], ...]] = (
    (
        "Top level",
        Recipe,
        (
            "model",
            "data",
            "preprocess",
            "metric",
            "stage",
            "quantize",
            "package",
            "budget",
            "target",
            "continuity",
            "tune",
        ),
    ),
    ("`[model]`", ModelSource, ()),
    ("`[data.calibration]`, `[data.evaluation]`, `[data.training]`", DataSource, ()),
    ("`[preprocess]`, `[preprocess.INPUT]`", Preprocess, ("inputs",)),
    ("`[metric]`", Metric, ()),
    *((f'`[[stage]]` with `use = "{use}"`', stage, ()) for use, stage in STAGES.items()),
    ('`[[stage.target]]` of "prune"', PruneTarget, ()),
    ('`[[stage.target]]` of "cluster"', ClusterTarget, ()),
    ("`layers`, as a table", Selector, ()),
    ("`[stage.train]`", Training, ()),
    ("`[stage.train.distill]`", Distillation, ()),
    ("`[stage.train.early_stop]`", EarlyStop, ()),
    ("`[quantize]`", Quantize, ()),
    ("`[package]`", Package, ()),
    ("`[budget]`", Budget, ()),
    ("`[target]`", Target, ()),
    ("`[continuity]`", Continuity, ()),
    ("`[tune]`", Tune, ()),
)


_SAID_ELSEWHERE: Final = {
    **{stage.__name__: ("use",) for stage in STAGES.values()},
    "Distill": ("use", "layers"),
    "Finetune": ("use", "layers"),
}


def markdown() -> str:
    """The reference: one section per table of the recipe."""
    return "\n".join(_section(title, model, hidden) for title, model, hidden in _TABLES)


def inserted(document: str) -> str:
    """A document with the part between the marks replaced by the reference."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise AssertionError(f"the document lacks {BEGIN} or {END}")
    return f"{before}{BEGIN}\n\n{markdown()}\n{END}{after}"


def _section(title: str, model: type[BaseModel], hidden: tuple[str, ...]) -> str:
    said = meanings(model)
    summary = textwrap.dedent(inspect.cleandoc(model.__doc__ or "")).partition("\n\nExample:")[0]
    lines = [f"### {title}", "", " ".join(summary.replace("``", "`").split()), ""]
    hidden += _SAID_ELSEWHERE.get(model.__name__, ())
    lines += ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        if name not in hidden:
            cells = (
                f"`{field.alias or name}`",
                _type(field.annotation, field.metadata),
                _default(field),
                said.get(name, ""),
            )
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """Field → the string under it in the source, base classes included."""
    said: dict[str, str] = {}
    for each in reversed(model.__mro__):
        if not issubclass(each, BaseModel) or each is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                said[field.target.id] = " ".join(text.value.value.split())
    return said


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or value == ():
        return ""
    if isinstance(value, BaseModel):
        set_values = value.model_dump(mode="json", exclude_unset=True)
        return f"`{json.dumps(set_values)}`" if set_values else "its defaults"
    return f"`{json.dumps(value)}`"


def _type(annotation: Any, metadata: list[Any]) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0], list(annotation.__metadata__))
    if origin is typing.Literal:
        return ", ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        members = [each for each in arguments if each is not type(None)]
        return " or ".join(dict.fromkeys(_type(each, metadata) for each in members))
    if origin is tuple:
        return f"list of {_plural(_type(arguments[0], []))}"
    if origin is dict:
        return (
            f"table of {_plural(_type(arguments[1], [])) if arguments[1] in (str, int, float) else 'values'}"
        )
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    named = {str: "text", int: "integer", float: "number", bool: "true or false"}.get(annotation, "value")
    bounds = [limit for item in metadata for limit in _bounds(item)]
    return f"{named} {', '.join(bounds)}".strip()


def _bounds(item: Any) -> list[str]:
    inner = [limit for each in getattr(item, "metadata", ()) for limit in _bounds(each)]
    signs = (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
    return inner + [
        f"{sign} {getattr(item, name)}" for name, sign in signs if getattr(item, name, None) is not None
    ]


def _plural(word: str) -> str:
    first, space, rest = word.partition(" ")
    return f"{first if first in ('text', 'value') else first + 's'}{space}{rest}"


def main() -> None:
    """Rewrites the generated part of the file named on the command line."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "recipes/README.md")
    path.write_text(inserted(path.read_text()))


if __name__ == "__main__":
    main()
