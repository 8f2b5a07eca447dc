"""A starting recipe from a model and some data: every guess with its reason."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.data import Dataset, DataSource, Preprocess
from edgepack.data.materialize import materialize
from edgepack.starting import files, scaling
from edgepack.starting.arrays import Bound, bound
from edgepack.starting.chosen_stages import BudgetChoice, StageChoice, budget, stages
from edgepack.starting.files import Role
from edgepack.starting.model_seen import ModelSeen, look
from edgepack.starting.scaling import Chosen, Progress
from edgepack.starting.splits import Part, Splits, split
from edgepack.starting.task import Task, guessed

LOOKED_AT: Final = 400
"""Samples that ranges are read from, and that the float model is tried on."""


def silent(text: str, fraction: float | None) -> None:
    """Shows no progress."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Everything that a starting recipe says.

    Attributes:
      parts: the `[data.…]` tables; {} where no data were found.
      geometry: keys of `[preprocess]` that make pictures fit, by input name.
      scalings: by input name; {} without data.
      notes: what was found and not used.
    """

    model: ModelSeen
    task: Task
    parts: Mapping[Role, Part]
    geometry: Mapping[str, Mapping[str, Any]]
    scalings: Mapping[str, Chosen]
    stages: tuple[StageChoice, ...]
    budget: BudgetChoice
    notes: tuple[str, ...]


def start(
    model_path: Path,
    data: Sequence[Path],
    *,
    run_model: bool,
    trust_input: bool = False,
    progress: Progress = silent,
) -> Start:
    """Looks at a model file and data; nothing is asked.

    Args:
      data: files and folders; () takes what lies beside the model.
      run_model: whether the float model may be run where only its answers tell how values are scaled.
      trust_input: whether a SavedModel may be loaded, which runs code of its own.
      progress: receives how far the trial of the float model is.

    Raises:
      ModelError: no model that a build takes.
      DataError: named data that do not fit it.
    """
    model = look(model_path, trust_input=trust_input)
    sources, notes = _sources(model, data)
    if not sources:
        return _without_data(model, notes)
    splits = split(sources)
    evaluation = splits.parts["evaluation"]
    task = guessed(model, evaluation.labels)
    with tempfile.TemporaryDirectory(prefix="edgepack-init-") as folder:
        geometry = {each.spec.name: _geometry(evaluation.bound, each.spec.shape) for each in model.inputs}
        samples = _samples(model, evaluation, geometry, Path(folder))
        scalings, said = _scalings(model, samples, task, Path(folder), progress if run_model else None)
    task = _settled(task, scalings)
    return Start(
        model=model,
        task=task,
        parts=_labelled(splits, task),
        geometry={name: keys for name, keys in geometry.items() if keys},
        scalings=scalings,
        stages=stages(model, trains="training" in splits.parts),
        budget=budget(model, task.metric, evaluation.count),
        notes=(*notes, *splits.notes, *said),
    )


def _sources(model: ModelSeen, data: Sequence[Path]) -> tuple[list[Bound], list[str]]:
    """Named files must fit, unless they came with a folder; what only lies there is left out with a note."""
    given = files.found(data) if data else files.beside(model.path)
    explicit = {path.resolve() for path in data}
    sources, notes = [], []
    for file in given:
        try:
            sources.append(bound(file, model))
        except errors.DataError as error:
            if file.path.resolve() in explicit and len(data) == 1:
                raise
            notes.append(f"not used: {error}")
    if data and not sources:
        raise errors.DataError("; ".join(notes) + "; give --data a file that fits the model")
    if not data and sources:
        names = ", ".join(source.file.path.name for source in sources)
        notes.append(f"no --data was given: {names} lies beside the model")
    return sources, notes


def _without_data(model: ModelSeen, notes: Sequence[str]) -> Start:
    task = guessed(model, None)
    return Start(
        model=model,
        task=task,
        parts={},
        geometry={},
        scalings={},
        stages=stages(model, trains=False),
        budget=budget(model, task.metric, 0),
        notes=tuple(notes),
    )


def _geometry(source: Bound, shape: tuple[int | None, ...]) -> dict[str, Any]:
    """How pictures in files become the model's size."""
    if source.file.kind != "folder" or len(shape) != 4:
        return {}
    keys: dict[str, Any] = {"resize": [shape[1], shape[2]]} if shape[1] and shape[2] else {}
    return keys | ({"grayscale": True} if shape[3] == 1 else {})


def _samples(
    model: ModelSeen, part: Part, geometry: Mapping[str, Mapping[str, Any]], folder: Path
) -> Dataset:
    update = {"count": min(LOOKED_AT, part.count), "shuffle_seed": 0, **_class_names(part)}
    source = part.source.model_copy(update=update)
    preprocess = Preprocess.model_validate({name: keys for name, keys in geometry.items() if keys})
    return materialize(source, preprocess, model.specs, folder)


def _class_names(part: Part) -> dict[str, Any]:
    labels = part.bound.labels
    if labels is None or labels.dtype.kind != "U":
        return {}
    return {"classes": tuple(sorted({str(name) for name in labels.ravel()}))}


def _scalings(
    model: ModelSeen, samples: Dataset, task: Task, folder: Path, progress: Progress | None
) -> tuple[dict[str, Chosen], list[str]]:
    values = {each.spec.name: _distinct(samples.stored(each.spec.name)) for each in model.inputs}
    chosen = {each.spec.name: scaling.by_range(each, values[each.spec.name]) for each in model.inputs}
    doubtful = [each for each in model.inputs if scaling.is_doubtful(each, values[each.spec.name])]
    judged = samples.label() is not None and task.kind != "unknown"
    if progress is None or not judged or len(doubtful) != 1:
        return chosen, []
    each = doubtful[0]
    options = scaling.candidates(each, values[each.spec.name])
    try:
        tried = scaling.by_trial(model, each.spec.name, options, samples, task.metric, folder, progress)
    except errors.EdgepackError as error:
        return chosen, [f"the float model could not be tried: {str(error).splitlines()[0]}"]
    return (chosen | {each.spec.name: tried}, []) if tried is not None else (chosen, [])


def _distinct(stored: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values that occur: what ranges are told from, without a copy of the samples for each question."""
    found: npt.NDArray[Any] = np.unique(np.asarray(stored))
    return found


def _settled(task: Task, scalings: Mapping[str, Chosen]) -> Task:
    """A reconstruction is compared with its stored input, which only works where nothing scales it."""
    if task.labels_are_inputs and any(chosen.lines for chosen in scalings.values()):
        return replace(
            task,
            metric="agreement",
            labels_are_inputs=False,
            reason=f"{task.reason}; values are scaled on the way in, so the stored ones are no targets: the .tflite is "
            "compared with the float model's decisions",
        )
    return task


def _labelled(splits: Splits, task: Task) -> dict[Role, Part]:
    """The parts with the labels that the task takes: text needs its classes, a reconstruction its input."""
    made: dict[Role, Part] = {}
    for role, part in splits.parts.items():
        update: dict[str, Any] = _class_names(part)
        if task.labels_are_inputs:
            update |= _own_input(part.source)
        made[role] = replace(part, source=part.source.model_copy(update=update))
    return made


def _own_input(source: DataSource) -> dict[str, Any]:
    if source.kind == "npz":
        return {"labels": source.inputs}
    return {"labels_path": source.path}
