"""The promises of the stages, tested on the exported file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from edgepack import gate, tflite
from edgepack.device import Device
from edgepack.pipeline.quantizing import Quantized
from edgepack.pipeline.steps import Worked
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe, float_allowed
from edgepack.records import Invariant, Json


def checked(
    recipe: Recipe, made: Quantized, worked: Worked, target: Device | None, workspace: Workspace
) -> list[Invariant]:
    """Every claim of every stage, and what holds for the whole file, read from the .tflite itself."""
    settings = recipe.quantize
    may_float = float_allowed(recipe, target)

    def make(directory: Path) -> Json:
        model = tflite.read(made.artifact.path)
        facts = (
            gate.layer_facts(gate.read(worked.candidate.path, custom=recipe.model.custom))
            if worked.claims
            else ()
        )
        searched = tflite.read(made.twin.path) if made.twin is not None else None
        found = tflite.invariants.check(
            worked.claims, facts, model, searched=searched
        ) + tflite.invariants.check_model(
            model,
            scheme=settings.scheme,
            input_type=settings.input_type,
            output_type=settings.output_type,
            allow_float=may_float,
            allow_select_ops=settings.allow_select_ops,
            ids=made.ids,
        )
        return [asdict(item) for item in found]

    parts: dict[str, Json] = {
        "tflite": made.artifact.sha256,
        "searched": made.searched.sha256,
        "candidate": worked.candidate.sha256,
        "claims": [asdict(claim) for claim in worked.claims],
        "settings": settings.model_dump(mode="json"),
        "ids": list(made.ids),
        "float_allowed": may_float,
    }
    return [Invariant(**item) for item in workspace.produce("check", parts, make).record]
