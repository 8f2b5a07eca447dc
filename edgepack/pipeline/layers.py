"""Every weighted layer of the shipped model, and which constants of the .tflite hold it: what a layer table is made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgepack import gate, tflite
from edgepack.facts import LayerFacts
from edgepack.numerics import clustering
from edgepack.pipeline.quantizing import Quantized
from edgepack.pipeline.steps import Worked
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe
from edgepack.records import Artifact, Candidate, Json, LedgerEntry
from edgepack.tflite.invariants import locate


def layer_rows(
    recipe: Recipe,
    original: Candidate,
    worked: Worked,
    baseline: Artifact,
    made: Quantized,
    workspace: Workspace,
) -> list[dict[str, Json]]:
    """One row a layer, in the model's order; () for a SavedModel that is no layer graph.

    Each has the keys of `report.documents.LayerLine`; tensors are numbers in the main subgraph of their file.
    """
    if worked.candidate.path.is_dir():
        return []
    origins = _origins(worked.ledger)

    def make(directory: Path) -> Json:
        after = tflite.read(made.searched.path)  # tensors have the same numbers in the file that ships
        before = tflite.read(baseline.path)
        sources = {facts.name: facts for facts in _facts(original, recipe)}
        rows: list[Json] = [
            {
                **_row(facts),
                "origin": origins.get(facts.name, ""),
                "tensors": _tensors(facts, after),
                "baseline_tensors": _tensors(sources.get(origins.get(facts.name, facts.name)), before),
            }
            for facts in _facts(worked.candidate, recipe)
        ]
        return rows

    parts: dict[str, Json] = {
        "original": original.sha256,
        "candidate": worked.candidate.sha256,
        "baseline": baseline.sha256,
        "tflite": made.searched.sha256,
        "origins": dict(origins),
    }
    found: list[dict[str, Json]] = workspace.produce("find layers", parts, make).record
    return found


def _facts(candidate: Candidate, recipe: Recipe) -> tuple[LayerFacts, ...]:
    return gate.layer_facts(gate.read(candidate.path, custom=recipe.model.custom))


def _origins(ledger: Sequence[LedgerEntry]) -> dict[str, str]:
    """Factor → the layer of the source model."""
    found: dict[str, str] = {}
    for entry in ledger:
        factors = entry.found.get("factors")
        for factor in factors if isinstance(factors, list) else ():
            found[str(factor)] = found.get(entry.layer, entry.layer)
    return found


def _row(facts: LayerFacts) -> dict[str, Json]:
    weights = sum(kernel.array.size for kernel in facts.kernels)
    zeros = sum(int((kernel.array == 0).sum()) for kernel in facts.kernels)
    distinct = [clustering.distinct(kernel.array, kernel.channel_axes) for kernel in facts.kernels]
    return {
        "layer": facts.name,
        "kind": facts.kind,
        "shape": [int(size) for size in facts.kernels[0].array.shape] if facts.kernels else [],
        "parameters": facts.parameters,
        "sparsity": zeros / weights if weights else None,
        "distinct": max(distinct, default=None),
    }


def _tensors(facts: LayerFacts | None, model: tflite.Model) -> list[Json]:
    """Constants of a layer's kernels, each once, in order."""
    if facts is None:
        return []
    found = {part.tensor.index: None for kernel in facts.kernels for part in locate(facts, kernel, model)}
    return list(found)
