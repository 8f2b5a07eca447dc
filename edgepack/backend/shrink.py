"""The operation "shrink": channels, units and blocks really taken out; the model that stays is smaller and faster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepack.backend import rebuild, session
from edgepack.backend.cutting import widths
from edgepack.backend.dead_channels import LEFT_OUT
from edgepack.backend.epochs import Report
from edgepack.backend.found import answer
from edgepack.backend.shrink_depth import macs, without_blocks
from edgepack.backend.shrink_exact import without_dead_channels
from edgepack.backend.shrink_structured import narrowed
from edgepack.backend.training import fit
from edgepack.gate.coupling_rules import MIXING
from edgepack.gate.graph import Graph
from edgepack.records import Json

TITLE = "shrinking"
Note = dict[str, Json]


def shrink(
    *,
    source: str,
    target: str,
    layers: Mapping[str, Mapping[str, Any]],
    settings: Mapping[str, Any],
    keep: Mapping[str, Mapping[str, Any]],
    training: Mapping[str, Any] | None,
    seed: int,
    report: Report,
    statistics: str | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes `target`: `source` with fewer channels, units or blocks, under the same layer names.

    Args:
      source, target: candidates.
      layers: those that may be narrowed; all others keep their width.
      settings: of the stage (`stages.shrink.Shrink.request`): "mode" "exact", "structured" or "depth", and the goal.
      keep: promises of earlier steps; they were about weights that are cut and end here.
      training, seed, report: see `training.fit`; None for one shot.
      statistics: file of `numerics.layer_statistics` of `source`, for mode "structured".
      calibration: ``Dataset.to_json()``; None for made-up inputs.

    Returns:
      See `found.answer`; "layers" has "channels" (and "channels_before") of each layer with a width of its own; notes
      say what was taken out, what stays and why, and what it came to.
    """
    session.seed_everything(seed)
    before = rebuild.read(Path(source))
    frozen, shapes = _frozen(before, layers, settings["mode"]), rebuild.shapes(before)
    notes: list[Note] = [_note(name, "cut: the promise about its weights ends here") for name in keep]
    report(TITLE, 0.0)
    if settings["mode"] == "exact":
        after, told = without_dead_channels(before, frozen, shapes)
    elif settings["mode"] == "depth":
        after, told = without_blocks(before, frozen, settings, statistics, calibration, seed, report)
    else:
        after, told = narrowed(before, frozen, settings, statistics, calibration, seed)
    model, tensors = rebuild.build_with_tensors(after)
    old, new = macs(before, shapes), macs(after, rebuild.shapes_of(tensors))
    notes += [*told, _note("", f"{new:,.0f} of {old:,.0f} multiply-adds stay ({new / max(old, 1):.3f})")]
    history = fit(model, training, {}, seed, report, notes=notes, title=TITLE) if training else []
    rebuild.save(model, Path(target))
    found = answer(Path(target), {}, notes=notes, history=history)
    return {**found, "layers": _channels(before, after)}


def _frozen(graph: Graph, layers: Mapping[str, object], mode: str) -> dict[str, str]:
    """Layer → why its channels must stay: looking at all channels together, shared, or not selected.

    A shared layer may be narrowed, in all of its places alike; what is constant in one place need not be in another.
    """
    frozen = {}
    for layer in graph.layers.values():
        calls = graph.calls_of(layer.name)
        if layer.kind in MIXING:
            frozen[layer.name] = f'layer "{layer.name}" ({layer.kind}) looks at all channels together'
        elif layer.weights and calls > 1 and mode != "structured":
            frozen[layer.name] = (
                f'layer "{layer.name}" is called {calls} times: one kernel serves several places'
            )
    return frozen | {
        key.partition("/")[0]: LEFT_OUT for key in widths(graph) if key.partition("/")[0] not in layers
    }


def _channels(before: Graph, after: Graph) -> dict[str, dict[str, Json]]:
    """Widths in the new model of every layer that has one of its own; of a Bidirectional layer both together."""
    old, new = _by_layer(before), _by_layer(after)
    return {name: {"channels": width, "channels_before": old[name]} for name, width in new.items()}


def _by_layer(graph: Graph) -> dict[str, int]:
    found: dict[str, int] = {}
    for key, width in widths(graph).items():
        name = key.partition("/")[0]
        found[name] = found.get(name, 0) + width
    return found


def _note(layer: str, reason: str) -> Note:
    return {"layer": layer, "action": "note", "reason": reason}
