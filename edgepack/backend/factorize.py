"""Operation `factorize`: layers of a candidate become chains of low rank, optionally trained afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgepack import errors
from edgepack.backend import factors, session, surgery
from edgepack.gate.graph import Graph, Layer
from edgepack.records import Json

Report = Callable[[str, float | None], None]
SPLITTING = 0.1
"""Share of the progress that the factorization takes where training follows."""


def factorize(
    *,
    source: str,
    target: str,
    layers: Mapping[str, Mapping[str, Any]],
    keep: Mapping[str, Mapping[str, Any]],
    training: Mapping[str, Any] | None,
    seed: int,
    report: Report,
) -> dict[str, Any]:
    """Writes `target` from `source` with the named layers in low-rank form.

    Args:
      source, target: candidates.
      layers: {name: {"form": see `factors.FORMS`, "rank": r, or [inputs, outputs] for "tucker"}}.
      keep: what earlier steps promised for the layers that stay; promises of replaced layers end here.
      training: settings and data of a fine-tuning after the replacement; None for none.
      seed: of that training.

    Returns:
      {"layers": {name: {"form", "rank", "parameters_before", "parameters", "relative_error", "factors"}},
      "notes", "history"}: ranks and parameters as found in the new layers, relative_error before any
      training.

    Raises:
      ModelError: a layer that the model does not have.
      BadInputError: a form or rank that does not fit its layer.
    """
    from edgepack.backend import rebuild

    session.seed_everything(seed)
    graph = rebuild.read(Path(source))
    new, found, notes = factorized(graph, layers, report, SPLITTING if training else 1.0)
    model = rebuild.build(new)
    history: list[dict[str, Json]] = []
    if training is not None:
        from edgepack.backend import training as loop

        held = {name: promise for name, promise in keep.items() if name in new.layers}
        history = loop.fit(model, training, held, seed, _rest_of(report), notes=notes)
    rebuild.save(model, Path(target))
    return {"layers": found, "notes": notes, "history": history}


def factorized(
    graph: Graph, wanted: Mapping[str, Mapping[str, Any]], report: Report, share: float = 1.0
) -> tuple[Graph, dict[str, Json], list[dict[str, Json]]]:
    """The graph with layers in low-rank form, what was found in them, and a note on each layer left alone."""
    chains: dict[str, tuple[Layer, ...]] = {}
    found: dict[str, Json] = {}
    notes: list[dict[str, Json]] = []
    for number, (name, parameters) in enumerate(wanted.items()):
        report(f"factorizing {name}", share * number / len(wanted))
        layer = _layer(graph, name)
        if (reason := factors.why_not(layer)) is not None:
            notes.append({"layer": name, "action": "left alone", "reason": reason})
            continue
        rank = parameters["rank"]
        split = factors.factors(layer, parameters["form"], rank if isinstance(rank, int) else tuple(rank))
        chains[name] = split.layers
        found[name] = {
            "form": parameters["form"],
            "rank": split.rank if isinstance(split.rank, int) else list(split.rank),
            "parameters_before": _parameters(layer),
            "parameters": sum(map(_parameters, split.layers)),
            "relative_error": split.relative_error,
            "factors": [part.name for part in split.layers],
        }
    return surgery.replace(graph, chains), found, notes


def _rest_of(report: Report) -> Report:
    """Reports of the training, which follows the splitting."""
    return lambda text, fraction: report(
        text, None if fraction is None else SPLITTING + (1 - SPLITTING) * fraction
    )


def _layer(graph: Graph, name: str) -> Layer:
    if name not in graph.layers:
        known = ", ".join(layer.name for layer in graph.layers.values() if layer.weights)
        raise errors.ModelError(
            f'the model has no layer "{name}" to factorize; its weighted layers are: {known}'
        )
    return graph.layers[name]


def _parameters(layer: Layer) -> int:
    return sum(int(weight.size) for weight in layer.weights)
