"""A starting recipe as TOML: every guess with its reason in a comment above it."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from edgepack.recipe.canonical import toml_value
from edgepack.starting.chosen_stages import StageChoice, devices
from edgepack.starting.files import ROLES, Role
from edgepack.starting.splits import Part
from edgepack.starting.start import Start

WIDTH: Final = 108
_MAXIMUM_UPS: Final = 2
_PLACE_OF_DATA: Final = "your_data.npz"


def text(start: Start, target: Path) -> str:
    """The recipe's text.

    Args:
      target: where it will lie; paths in it are relative to that folder where they lie near it.
    """
    name = _name(start.model.path)
    blocks = [
        [
            *_comment(
                f"A starting recipe for {start.model.path.name}, written by `edgepack init`. Every guess says its reason; "
                "change what you know better. recipes/README.md explains every key."
            ),
            "edgepack = 1",
            f"name = {toml_value(name)}",
            'version = "1.0.0"',
        ],
        ["[model]", f"path = {toml_value(_path(start.model.path, target))}"],
        *_data(start, target),
        *_preprocess(start),
        [*_comment(f"Task guessed: {start.task.kind}. {start.task.reason}."), "[metric]", *_metric(start)],
        *(_stage(choice) for choice in start.stages),
        [
            "[quantize]",
            'scheme = "int8"                # whole numbers throughout: what every device here runs fastest',
        ],
        _budget(start),
    ]
    notes = [_comment(f"Note: {note}") for note in start.notes]
    return "\n\n".join("\n".join(block) for block in (*blocks[:1], *notes, *blocks[1:])) + "\n"


def _data(start: Start, target: Path) -> Iterator[list[str]]:
    if not start.parts:
        reason = "No data were found. Put the path of a .npz (arrays x and y), .npy, IDX file or picture folder in both"
        for role, cut in (("calibration", "count = 100"), ("evaluation", "start = 100")):
            said = _comment(f"{reason}.") if role == "calibration" else []
            lines = [f'path = "{_PLACE_OF_DATA}"            # ← your data', "shuffle_seed = 0", cut]
            yield [*said, f"[data.{role}]", *lines]
        return
    for role in ROLES:
        if role in start.parts:
            yield _table(role, start.parts[role], target)


def _table(role: Role, part: Part, target: Path) -> list[str]:
    said = _comment(f"{part.count:,} samples: {'; '.join((part.reason, *part.bound.reasons))}.")
    lines = []
    source = part.source
    for key in ("path", "labels_path"):
        value = getattr(source, key)
        if value is not None:
            lines.append(f"{key} = {toml_value(_path(Path(value), target))}")
    labels_wanted = role != "calibration"
    for key in ("inputs", "labels"):
        value = getattr(source, key)
        if value is not None and (key == "inputs" or labels_wanted):
            lines.append(f"{key} = {_arrays(value)}")
    if source.classes is not None and labels_wanted:
        lines.append(
            f"classes = {toml_value(list(source.classes))}   # sorted: check that the model's outputs are"
        )
    for key in ("shuffle_seed", "start", "count"):
        value = getattr(source, key)
        if value is not None and not (key == "start" and value == 0):
            lines.append(f"{key} = {value}")
    return [*said, f"[data.{role}]", *lines]


def _arrays(names: str | Mapping[str, str]) -> str:
    if isinstance(names, str):
        return toml_value(names)
    return "{ " + ", ".join(f"{toml_value(key)} = {toml_value(value)}" for key, value in names.items()) + " }"


def _preprocess(start: Start) -> Iterator[list[str]]:
    if not start.scalings:
        yield _comment(
            "Without data the scaling cannot be told. If the model was trained on pixels ÷ 255, say so: "
            "[preprocess] scale = 0.00392156862745098"
        )
        return
    several = len(start.scalings) > 1
    for name, chosen in start.scalings.items():
        geometry = [f"{key} = {toml_value(value)}" for key, value in start.geometry.get(name, {}).items()]
        lines = [*geometry, *chosen.lines]
        head = f"[preprocess.{toml_value(name)}]" if several else "[preprocess]"
        said = _comment(f"Preprocessing guessed: {chosen.reason}.")
        yield [*said, head, *lines] if lines else said


def _metric(start: Start) -> list[str]:
    lines = [f"name = {toml_value(start.task.metric)}"]
    if len(start.model.outputs) > 1:
        others = ", ".join(start.model.outputs[1:])
        lines.append(
            f"output = {toml_value(start.model.outputs[0])}   # the first; the model also has {others}"
        )
    return lines


def _stage(choice: StageChoice) -> list[str]:
    said = _comment(choice.reason[0].upper() + choice.reason[1:] + ".")
    lines = ["[[stage]]", *choice.lines]
    return [*said, *(lines if choice.active else [f"# {line}" for line in lines])]


def _budget(start: Start) -> list[str]:
    limits = start.budget
    fits, too_small = devices(start.model)
    fitting = (
        f"No device is chosen: any of {', '.join(fits)} should hold it"
        + (f" (too small: {', '.join(too_small)})" if too_small else "")
        + "; --device NAME adds that device's limits. Or say only what the result must weigh, instead of the stages: "
        "[target] delivered_bytes = …"
    )
    return [
        *_comment(f"max_drop: {limits.drop_reason}. max_file_bytes: {limits.file_reason}."),
        *_comment(fitting),
        "[budget]",
        f"max_drop = {limits.max_drop}",
        *([f"max_file_bytes = {limits.max_file_bytes}"] if limits.max_file_bytes is not None else []),
    ]


def _comment(sentence: str) -> list[str]:
    """Wrapped; characters that could end a comment are not let through from names in files."""
    clean = "".join(character if character.isprintable() else " " for character in sentence)
    return [f"# {line}" for line in textwrap.wrap(clean.replace("..", "."), WIDTH, break_on_hyphens=False)]


def _name(model: Path) -> str:
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "-", model.stem).strip("-._")
    return cleaned[:100] or "model"


def _path(path: Path, target: Path) -> str:
    relative = os.path.relpath(path.resolve(), target.resolve().parent)
    far = Path(relative).parts[: _MAXIMUM_UPS + 1] == ("..",) * (_MAXIMUM_UPS + 1)
    return str(path.resolve()) if far else relative


def summary(start: Start) -> Iterable[str]:
    """The guesses in a few lines, for a terminal."""
    yield f"task: {start.task.kind} ({start.task.reason})"
    for role in ROLES:
        if role in start.parts:
            part = start.parts[role]
            yield f"{role}: {part.count:,} samples of {part.bound.file.path.name} ({part.reason})"
    for chosen in start.scalings.values():
        yield f"preprocessing: {chosen.reason}"
    yield f"metric: {start.task.metric}, a drop of at most {start.budget.max_drop:g}"
    active = [choice.lines[0].split('"')[1] for choice in start.stages if choice.active]
    yield f"stages: {', '.join([*active, 'int8'])}"
    for note in start.notes:
        yield f"note: {note}"


def as_json(start: Start, target: Path) -> dict[str, Any]:
    """The guesses for scripts (edgepack.init/1)."""
    return {
        "schema": "edgepack.init/1",
        "recipe": str(target),
        "task": start.task.kind,
        "metric": start.task.metric,
        "reason": start.task.reason,
        "samples": {role: part.count for role, part in start.parts.items()},
        "preprocess": {
            name: {"lines": list(item.lines), "reason": item.reason} for name, item in start.scalings.items()
        },
        "stages": [list(choice.lines) for choice in start.stages if choice.active],
        "notes": list(start.notes),
    }
