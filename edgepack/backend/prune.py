"""The operation "prune": small weights become zero, while training or in one shot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepack import errors
from edgepack.backend import rebuild, session, tfmot
from edgepack.backend.epochs import Report
from edgepack.backend.found import answer
from edgepack.backend.goals import Goal, goals, masks
from edgepack.backend.obs_prune import prune_observed
from edgepack.backend.obs_walk import read_statistics
from edgepack.backend.pruning_schedule import ScheduledPruning
from edgepack.backend.training import fit
from edgepack.records import Json

Layers = Mapping[str, Mapping[str, Any]]
TITLE = "pruning"


def prune(
    *,
    source: str,
    target: str,
    layers: Layers,
    scope: str,
    keep: Layers,
    training: Mapping[str, Any] | None,
    seed: int,
    report: Report,
    method: str = "magnitude",
    statistics: str | None = None,
    calibration: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes `target`: `source` with the asked zeros, at least ⌈sparsity · weights⌉ of them in each kernel.

    With training data the zeros grow along TF-MOT's schedule while the rest learns to do without them
    (`pruning_schedule`); without, the smallest weights are cut at once. With method "obs" those are cut at once whose
    absence costs the loss least, the others make up for them (`obs_prune`), and training keeps the zeros.

    Args:
      source, target: candidates.
      layers: what to prune and how, see `goals.goals`.
      scope: "layer", or "global" for one threshold over all the kernels.
      keep: promises of earlier steps, see `training.fit`. Where a layer to be pruned has clusters, its
        weights are cut before the training instead of during it, since a cluster must not lose members one by
        one.
      training: see `training.fit`; None for one shot.
      seed: of the training.
      report: progress.
      method: "magnitude" or "obs".
      statistics: file of `numerics.layer_statistics` of `source`, for "obs".
      calibration: what it was measured on.

    Returns:
      See `found.answer`.

    Raises:
      ModelError: a layer does not exist, or the XNNPACK policy finds nothing to speed up in this model.
    """
    session.seed_everything(seed)
    model = rebuild.load(Path(source))
    if any(parameters.get("policy") == "xnnpack_latency" for parameters in layers.values()):
        _check_xnnpack(model)
    wanted, notes, history = goals(model, layers), list[dict[str, Json]](), list[dict[str, Json]]()
    if method == "obs":
        model, remarks = prune_observed(
            model,
            wanted,
            scope,
            read_statistics(statistics),
            calibration=calibration,
            seed=seed,
            report=report,
        )
        notes += remarks
        held = {**keep, **{name: {**keep.get(name, {}), "zeros": True} for name in layers}}
        if training is not None:
            history = fit(model, training, held, seed, report, notes=notes, title=TITLE)
    elif training is None:
        _cut(wanted, scope)
    elif wanted:
        history = _train(model, wanted, scope, keep, training, seed, report, notes)
    rebuild.save(model, Path(target))
    return answer(Path(target), layers, notes=notes, history=history)


def _cut(wanted: list[Goal], scope: str) -> None:
    for goal, mask in zip(wanted, masks(wanted, scope), strict=True):
        goal.cut(mask)


def _train(
    model: Any,
    wanted: list[Goal],
    scope: str,
    keep: Layers,
    settings: Mapping[str, Any],
    seed: int,
    report: Report,
    notes: list[dict[str, Json]],
) -> list[dict[str, Json]]:
    clustered = {goal.kernel.layer for goal in wanted if keep.get(goal.kernel.layer, {}).get("clusters")}
    held = dict(keep)
    if clustered:
        _cut(wanted, scope) if scope == "global" else _cut(
            [g for g in wanted if g.kernel.layer in clustered], scope
        )
        for name in sorted({goal.kernel.layer for goal in wanted} if scope == "global" else clustered):
            held[name] = {**keep.get(name, {}), "zeros": True}
            notes.append(
                {
                    "layer": name,
                    "action": "note",
                    "reason": "has clusters: cut before the training, not during it",
                }
            )
    growing = (
        [] if clustered and scope == "global" else [g for g in wanted if g.kernel.layer not in clustered]
    )

    def make_pruning(live: Any, updates: int) -> ScheduledPruning:
        return ScheduledPruning([goal.on(live) for goal in growing], scope, updates)

    return fit(
        model,
        settings,
        held,
        seed,
        report,
        make_pruning=make_pruning if growing else None,
        notes=notes,
        title=TITLE,
    )


def _check_xnnpack(model: Any) -> None:
    """TF-MOT's own test of whether XNNPACK would run this model sparse at all."""
    try:
        tfmot.part("sparsity.keras").PruneForLatencyOnXNNPack().ensure_model_supports_pruning(model)
    except ValueError as error:
        raise errors.ModelError(
            f'policy = "xnnpack_latency": XNNPACK would not run this model sparse: {error}. '
            "Remove `policy`; pruning then serves the size, not the speed"
        ) from error
