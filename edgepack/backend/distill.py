"""The operation "distill": a smaller student learns the teacher's outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepack import errors
from edgepack.backend import rebuild, session
from edgepack.backend.cutting import widths
from edgepack.backend.distillation import check_same_outputs
from edgepack.backend.epochs import Report
from edgepack.backend.found import answer
from edgepack.backend.student import narrow
from edgepack.backend.training import fit
from edgepack.gate.graph import Graph, Ref
from edgepack.records import Json

Named = tuple[tuple[str, Ref], ...]


def distill(
    *,
    source: str,
    target: str,
    student: str | None,
    width: float | None,
    keep: Mapping[str, Mapping[str, Any]],
    training: Mapping[str, Any],
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Writes `target`: the student after training against `source`, the teacher.

    Args:
      source, target: candidates.
      student: model file whose weights are the start; its inputs and outputs take the teacher's names.
      width: or 0 … 1: the teacher's own architecture, narrowed to its most important channels
        (`student.narrow`).
      keep: promises of earlier steps; they were about the teacher's weights and end here.
      training: see `training.fit`; its "distill" has alpha, temperature and loss.
      seed, report: see `training.fit`.

    Returns:
      See `found.answer`; a note for each promise that ended, and for each layer that was narrowed.

    Raises:
      ModelError: the student does not take the teacher's inputs or does not give its outputs.
      RecipeError: neither or both of student and width.
    """
    if (student is None) == (width is None):
        raise errors.RecipeError('stage "distill": give either `student` (a model file) or `width`')
    session.seed_everything(seed)
    notes = [_note(name, "the student has other weights: the promise ends here") for name in keep]
    graph = rebuild.read(Path(source))
    teacher = rebuild.build(graph)
    if student is None:
        assert width is not None
        narrowed = narrow(graph, width, rebuild.shapes(graph))
        notes.extend(_width_notes(graph, narrowed))
        small = rebuild.build(narrowed)
    else:
        small = rebuild.build(renamed(rebuild.read(Path(student)), graph))
    check_same_outputs(teacher, small)
    settings = {**training, "distill": {**(training.get("distill") or {}), "teacher": source}}
    history = fit(small, settings, {}, seed, report, notes=notes, title="distilling")
    rebuild.save(small, Path(target))
    return answer(Path(target), [layer.name for layer in small.layers], notes=notes, history=history)


def _width_notes(before: Graph, after: Graph) -> list[dict[str, Json]]:
    new = widths(after)
    return [
        _note(name, f"narrowed from {width} to {new[name]}")
        if new[name] != width
        else _note(name, "width kept: tied to an input, an output or an operation that cannot be narrowed")
        for name, width in widths(before).items()
    ]


def renamed(student: Graph, teacher: Graph) -> Graph:
    """The student under the teacher's input and output names, in the teacher's order.

    Data, metrics and the exported file's contract find tensors by name. Names that both share are matched by
    name, others by position.

    Raises:
      ModelError: other inputs or outputs than the teacher's.
    """
    shapes = {spec.name: (spec.shape, spec.dtype) for spec in student.specs}
    inputs = _matched(student.inputs, teacher.inputs)
    wrong = inputs is None or any(
        shapes[old] != (spec.shape, spec.dtype) for (old, _), spec in zip(inputs, teacher.specs, strict=True)
    )
    if inputs is None or wrong:
        raise errors.ModelError(
            f"the student takes {_listed(student)}, the teacher {_listed(teacher)}; "
            "distillation needs the same inputs"
        )
    outputs = _matched(student.outputs, teacher.outputs)
    if outputs is None:
        raise errors.ModelError(
            f"the student has {len(student.outputs)} outputs, the teacher {len(teacher.outputs)}; "
            "distillation needs the same outputs"
        )
    return dataclasses.replace(
        student,
        inputs=tuple((name, ref) for (name, _), (_, ref) in zip(teacher.inputs, inputs, strict=True)),
        outputs=tuple((name, ref) for (name, _), (_, ref) in zip(teacher.outputs, outputs, strict=True)),
    )


def _matched(ours: Named, theirs: Named) -> Named | None:
    """Our tensors in their order; None where the numbers differ."""
    if len(ours) != len(theirs):
        return None
    by_name = {name: (name, ref) for name, ref in ours}
    if set(by_name) == {name for name, _ in theirs}:
        return tuple(by_name[name] for name, _ in theirs)
    return ours


def _listed(graph: Graph) -> str:
    return ", ".join(f"{spec.name} {list(spec.shape)} {spec.dtype}" for spec in graph.specs)


def _note(layer: str, reason: str) -> dict[str, Json]:
    return {"layer": layer, "action": "note", "reason": reason}
