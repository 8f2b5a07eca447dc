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
from edgepack.backend.fold import affine, fold_graph, foldable
from edgepack.backend.fold_operation import with_biases
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
      graph: with weights; its normalizations stay, since training needs them.
      frozen: layer → why its channels must stay.
      settings: "keep" with "of", or "macs"; "align", "importance", "cost".
      statistics: file of `numerics.layer_statistics` of this model folded.
      calibration, seed: of groups without statistics, see `channel_gains`.
    """
    ranks = {
        call.layer: len(shape[0]) for call, shape in zip(graph.calls, rebuild.shapes(graph), strict=True)
    }
    folded = with_biases(fold_graph(graph, ranks))
    shapes = rebuild.shapes(folded)
    couplings = Couplings(folded, shapes)
    freeze(folded, couplings, frozen)
    known = {} if statistics is None else layer_statistics.read(Path(statistics))
    works = work(folded, couplings, shapes)
    goal = _goal(settings, works, couplings)
    choice = choose(
        folded,
        couplings,
        works,
        goal,
        align=settings["align"],
        importance=settings["importance"],
        statistics=known,
        calibration=calibration,
        seed=seed,
    )
    refitted = _reconstructed(folded, couplings, known, choice.kept)
    whole = unfolded(graph, folded, refitted, foldable(graph, ranks))
    own = Couplings(graph, rebuild.shapes(graph))
    kept = {
        own.find(own.opened[key]): choice.kept[couplings.find(group)]
        for key, group in couplings.opened.items()
        if couplings.find(group) in choice.kept
    }
    return cut(whole, own, kept), _notes(couplings, choice, goal)


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


def unfolded(graph: Graph, folded: Graph, refitted: Graph, normalizations: Mapping[str, str]) -> Graph:
    """The model in which weights were changed where a normalization had been folded into them.

    Args:
      graph: with its normalizations.
      folded: the same without them.
      refitted: `folded` with other weights in some layers.
      normalizations: layer → normalization that was folded into it.

    Returns:
      `graph`, computing what `refitted` does: kernels divided by the normalization's scale; what was added to a bias is
      taken from the moving mean instead, which is the mean of what the layer then gives.
    """
    layers = dict(graph.layers)
    for name, new in refitted.layers.items():
        old = folded.layers[name]
        if new is old:
            continue
        if name not in normalizations:
            layers[name] = new
            continue
        normalization = graph.layers[normalizations[name]]
        scale, _ = affine(normalization)
        share = np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)
        place = len(new.weights) - 2
        weights = list(graph.layers[name].weights)
        weights[place] = np.where(scale != 0, new.weights[place] * share, weights[place]).astype(np.float32)
        *others, mean, variance = normalization.weights
        shift = (new.weights[-1].astype(np.float64) - old.weights[-1]) * share
        mean = (mean - shift).astype(np.float32)
        layers[name] = dataclasses.replace(layers[name], weights=tuple(weights))
        layers[normalization.name] = dataclasses.replace(normalization, weights=(*others, mean, variance))
    return dataclasses.replace(graph, layers=layers)


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
