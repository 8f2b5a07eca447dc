"""Mode "structured" of "shrink": the channels that the loss needs least out, what reads them made good."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgepack import errors
from edgepack.backend import rebuild
from edgepack.backend.channel_choice import Choice, Goal, Statistics, choose, gone_rows, observed_role, sizes
from edgepack.backend.cutting import Indices, cut
from edgepack.backend.dead_channels import freeze
from edgepack.gate.channel_costs import PerLayer, Work, total, work
from edgepack.gate.couplings import FIXED, Couplings
from edgepack.gate.graph import Graph, Layer
from edgepack.gate.readers import readers
from edgepack.numerics import layer_statistics
from edgepack.numerics.channel_pruning import reconstructed
from edgepack.records import Json

Note = dict[str, Json]
COSTS: Final[dict[str, PerLayer]] = {"macs": Work.macs, "parameters": Work.parameters}


def narrowed(
    graph: Graph,
    frozen: Mapping[str, str],
    settings: Mapping[str, Any],
    statistics: str | None,
    calibration: Mapping[str, Any] | None,
    seed: int,
) -> tuple[Graph, list[Note]]:
    """The model with the channels that cost least taken out until the goal is met, and notes by layer.

    Args:
      graph: folded (biases everywhere), with weights.
      frozen: layer → why its channels must stay.
      settings: "keep" with "of", or "macs"; "align", "importance", "cost".
      statistics: file of `numerics.layer_statistics` of this very model.
      calibration, seed: of groups without statistics, see `channel_gains`.
    """
    shapes = rebuild.shapes(graph)
    couplings = Couplings(graph, shapes)
    freeze(graph, couplings, frozen)
    known = {} if statistics is None else layer_statistics.read(Path(statistics))
    works = work(graph, couplings, shapes)
    goal = _goal(settings, works, couplings)
    choice = choose(
        graph,
        couplings,
        works,
        goal,
        align=settings["align"],
        importance=settings["importance"],
        statistics=known,
        calibration=calibration,
        seed=seed,
    )
    small = cut(_reconstructed(graph, couplings, known, choice.kept), couplings, choice.kept)
    return small, _notes(couplings, choice, goal)


def _goal(settings: Mapping[str, Any], works: tuple[Work, ...], couplings: Couplings) -> Goal:
    of = "macs" if settings["macs"] is not None else settings["of"]
    measure = COSTS[of]
    whole = total(works, measure, sizes(couplings))
    limit = float(settings["macs"]) if settings["macs"] is not None else settings["keep"] * whole
    if limit >= whole:
        raise errors.RecipeError(
            f'stage "shrink": the goal of {limit:,.0f} {of} is no less than the {whole:,.0f} that the model has; '
            "ask for less, or remove the stage"
        )
    return Goal(measure=measure, limit=limit, price=COSTS[settings["cost"] or of])


def _reconstructed(
    graph: Graph, couplings: Couplings, statistics: Statistics, kept: Mapping[int, Indices]
) -> Graph:
    """The model in which what reads channels that go does without them as well as it can."""
    layers = dict(graph.layers)
    for reader in readers(graph, couplings):
        layer = layers[reader.layer]
        role = observed_role(layer, statistics)
        if role is None or not layer.config.get("use_bias", True):
            continue
        gone = gone_rows(layer, role, reader, kept)
        if len(gone):
            layers[layer.name] = _refitted(layer, role, statistics, gone)
    return dataclasses.replace(graph, layers=layers)


def _refitted(layer: Layer, role: str, statistics: Statistics, gone: Indices) -> Layer:
    place = 1 if role == "pointwise" else 0
    kernel, weights = layer.weights[place], list(layer.weights)
    matrix, bias = reconstructed(
        kernel.reshape(-1, kernel.shape[-1]), weights[-1], statistics[layer.name, role], gone
    )
    weights[place] = matrix.reshape(kernel.shape).astype(np.float32)
    weights[-1] = bias.astype(np.float32)
    return dataclasses.replace(layer, weights=tuple(weights))


def _notes(couplings: Couplings, choice: Choice, goal: Goal) -> list[Note]:
    notes = []
    for key, opened in couplings.opened.items():
        name, group, size = key.partition("/")[0], couplings.find(opened), couplings.sizes[key]
        if group == FIXED:
            notes.append(_note(name, "left alone", f"keeps {size} channels: {couplings.reason(opened)}"))
        elif group in choice.kept:
            left = len(choice.kept[group])
            cost = choice.losses[group]
            notes.append(_note(name, "acted", f"{left} of {size} channels stay; expected to cost {cost:.4g}"))
        else:
            notes.append(_note(name, "left alone", f"keeps {size} channels: too dear for what it would save"))
    if choice.reached > goal.limit:
        reason = f"the goal of {goal.limit:,.0f} is out of reach: {choice.reached:,.0f} is the least"
        notes.append(_note("", "note", reason))
    return notes


def _note(layer: str, action: str, reason: str) -> Note:
    return {"layer": layer, "action": action, "reason": reason}
