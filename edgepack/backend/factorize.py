"""Operation `factorize`: layers of a candidate become chains of low rank, optionally trained afterwards."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgepack import errors
from edgepack.backend import factors, kfac_choice, session, surgery
from edgepack.gate.graph import Graph, Layer
from edgepack.numerics import layer_statistics
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
    choice: Mapping[str, Any] | None = None,
    statistics: str | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes `target` from `source` with the named layers in low-rank form.

    Args:
      source, target: candidates.
      layers: {name: {"form": see `factors.FORMS`, "rank": r, or [inputs, outputs] for "tucker"}}; with `choice` only
        the names count.
      keep: what earlier steps promised for the layers that stay; promises of replaced layers end here.
      training: settings and data of a fine-tuning after the replacement; None for none.
      seed: of that training, and of drawn positions.
      choice: how forms and ranks are chosen here, see `kfac_choice.Settings`; None where `layers` says them.
      statistics, calibration: file of `numerics.layer_statistics` of `source`, and ``Dataset.to_json()`` (None for
        made-up inputs), for method "kfac"; `source` is then a folded candidate.

    Returns:
      {"layers": {name: {"form", "rank", "parameters_before", "parameters", "relative_error", "factors", "ranks"}},
      "notes", "history"}: ranks and parameters as found in the new layers, relative_error before any
      training.

    Raises:
      ModelError: a layer that the model does not have.
      BadInputError: a form or rank that does not fit its layer.
    """
    from edgepack.backend import rebuild

    session.seed_everything(seed)
    graph = rebuild.read(Path(source))
    share = SPLITTING if training else 1.0
    if choice is None:
        new, found, notes = factorized(graph, layers, report, share)
    else:
        new, found, notes = _chosen(
            graph, layers, choice, statistics, calibration, seed, _part(report, share)
        )
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
        found[name] = _found(layer, parameters["form"], split)
    return surgery.replace(graph, chains), found, notes


def _chosen(
    graph: Graph,
    wanted: Mapping[str, Mapping[str, Any]],
    choice: Mapping[str, Any],
    statistics: str | None,
    calibration: Mapping[str, Any] | None,
    seed: int,
    report: Report,
) -> tuple[Graph, dict[str, Json], list[dict[str, Json]]]:
    """As `factorized`, forms and ranks chosen for all layers together, factors by the asked method."""
    for name in wanted:
        _layer(graph, name)
    settings = kfac_choice.Settings.from_json(choice)
    report("choosing ranks", 0.0)
    picks, whole = kfac_choice.picked(graph, wanted, settings, statistics)
    notes: list[dict[str, Json]] = [
        {"layer": name, "action": "left alone", "reason": reason} for name, reason in whole.items()
    ]
    if settings.method == "svd":
        plain = {name: {"form": pick.form, "rank": pick.rank} for name, pick in picks.items()}
        new, found, more = factorized(graph, plain, report)
        return new, found, notes + more
    from edgepack.backend.kfac_refit import fitted_parts

    assert statistics is not None, "method kfac comes with statistics"
    known = layer_statistics.read(Path(statistics))
    parts = fitted_parts(graph, picks, known, calibration, seed, report)
    chains: dict[str, tuple[Layer, ...]] = {}
    found = {}
    for name, pick in picks.items():
        layer = graph.layers[name]
        corrected = dataclasses.replace(layer, weights=(*layer.weights[:-1], parts[name].bias))
        split = factors.assembled(corrected, pick.form, parts[name].kernels)
        chains[name] = split.layers
        found[name] = {**_found(layer, pick.form, split), "expected_loss": pick.error}
    return surgery.replace(graph, chains), found, notes


def _found(layer: Layer, form: str, split: factors.Factors) -> dict[str, Json]:
    names = [part.name for part in split.layers]
    made = [name for name in names if name.endswith(("_reduce", "_core"))]
    ranks = [split.rank] if isinstance(split.rank, int) else list(split.rank)
    return {
        "form": form,
        "rank": ranks[0] if len(ranks) == 1 else [*ranks],
        "parameters_before": _parameters(layer),
        "parameters": sum(map(_parameters, split.layers)),
        "relative_error": split.relative_error,
        "factors": [*names],
        "ranks": dict(zip(made, ranks, strict=True)),
    }


def _part(report: Report, share: float) -> Report:
    return lambda text, fraction: report(text, None if fraction is None else share * fraction)


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
