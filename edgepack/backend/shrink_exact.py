"""Mode "exact" of "shrink": dead channels out, round after round, until none is left that can go."""

from __future__ import annotations

from collections.abc import Mapping

from edgepack.backend import rebuild
from edgepack.backend.dead_channels import clean
from edgepack.gate.couplings import CallShapes
from edgepack.gate.graph import Graph
from edgepack.records import Json

NOTHING = "no channel is dead: copied unchanged"


def without_dead_channels(
    graph: Graph, frozen: Mapping[str, str], shapes: CallShapes
) -> tuple[Graph, list[dict[str, Json]]]:
    """The model without its dead channels, and notes by layer.

    Args:
      graph: with weights.
      frozen: layer → why its channels must stay.
      shapes: of every call's outputs.
    """
    removed: dict[str, int] = {}
    kept: dict[str, str] = {}
    while True:
        cleaned = clean(graph, shapes, frozen)
        kept = cleaned.kept
        if not cleaned.removed:
            break
        graph = cleaned.graph
        shapes = rebuild.shapes(graph)
        for key, count in cleaned.removed.items():
            removed[key] = removed.get(key, 0) + count
    notes = [_note(key, "acted", f"{count} dead channels removed") for key, count in removed.items()]
    notes += [_note(name, "left alone", reason) for name, reason in kept.items()]
    if not removed:
        notes.append(_note("", "left alone", NOTHING))
    return graph, notes


def _note(key: str, action: str, reason: str) -> dict[str, Json]:
    return {"layer": key.partition("/")[0], "action": action, "reason": reason}
