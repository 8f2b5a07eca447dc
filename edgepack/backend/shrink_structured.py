"""Mode "structured" of "shrink": the channels that the loss needs least out, what reads them made good."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.backend import rebuild
from edgepack.backend.channel_choice import Choice, Goal, Statistics, choose, gone_rows, observed_role, sizes
from edgepack.backend.cutting import Indices, cut, silence
from edgepack.backend.dead_channels import freeze
from edgepack.backend.remaking import folded_with_biases, remade
from edgepack.gate.channel_costs import PerLayer, Work, timed, total, work
from edgepack.gate.couplings import FIXED, Couplings
from edgepack.gate.graph import Graph
from edgepack.gate.readers import readers
from edgepack.numerics import layer_statistics
from edgepack.numerics.latency_model import LatencyModel
from edgepack.records import Json

Note = dict[str, Json]
COSTS: Final[dict[str, PerLayer]] = {"macs": Work.macs, "parameters": Work.parameters}
LITTLE: Final = 0.9
"""Share of its time above which a narrower model is hardly faster."""


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
      settings: "keep" with "of", or "macs"; "align", "importance", "cost", and for "latency" its "table".
      statistics: file of `numerics.layer_statistics` of this model folded.
      calibration, seed: of groups without statistics, see `channel_gains`.
    """
    folded, _ = folded_with_biases(graph)
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
    gone = _gone(folded, couplings, known, choice.kept)
    whole = remade(
        graph, lambda model: (silence(model, couplings, choice.kept), gone), statistics, calibration, seed
    )
    own = Couplings(graph, rebuild.shapes(graph))
    kept = {
        own.find(own.opened[key]): choice.kept[couplings.find(group)]
        for key, group in couplings.opened.items()
        if couplings.find(group) in choice.kept
    }
    notes = _notes(couplings, choice, goal)
    if settings["cost"] == "latency":
        notes.append(_time_saved(works, goal, sizes(couplings), choice))
    return cut(whole, own, kept), notes


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
    price = COSTS.get(settings["cost"] or of) or timed(LatencyModel.from_json(settings["table"]))
    return Goal(measure=measure, limit=limit, price=price)


def _gone(
    graph: Graph, couplings: Couplings, statistics: Statistics, kept: Mapping[int, Indices]
) -> dict[tuple[str, str], Indices]:
    """(layer, role) → rows of a reading kernel that go with their channels."""
    found = {}
    for reader in readers(graph, couplings):
        layer = graph.layers[reader.layer]
        role = observed_role(layer, statistics)
        if role is not None:
            found[layer.name, role] = gone_rows(layer, role, reader, kept)
    return found


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


def _time_saved(works: tuple[Work, ...], goal: Goal, widths: Mapping[int, int], choice: Choice) -> Note:
    """What narrower layers save; next to nothing where kernels work on more channels at once than are left."""
    before = total(works, goal.price, widths)
    after = total(works, goal.price, {**widths, **{group: len(left) for group, left in choice.kept.items()}})
    told = f"by the table {after:.4g} of {before:.4g} us of its weighted layers stay"
    if after > LITTLE * before:
        told += '; widths save little on this processor: mode = "depth" takes out whole blocks'
    return _note("", "note", told)


def _note(layer: str, action: str, reason: str) -> Note:
    return {"layer": layer, "action": action, "reason": reason}
