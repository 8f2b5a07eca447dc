"""Pruning by what a weight's absence costs the loss, in one shot, without training (`numerics.obs_prune`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgepack.backend import obs_walk
from edgepack.backend.epochs import Report
from edgepack.backend.goals import Goal, masks
from edgepack.backend.obs_walk import Array, Key, Statistics
from edgepack.numerics import obs_prune
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.obs_sweep import Curvature
from edgepack.records import Json


def prune_observed(
    model: Any,
    wanted: Sequence[Goal],
    scope: str,
    statistics: Statistics,
    *,
    calibration: Mapping[str, Any] | None,
    seed: int,
    report: Report,
) -> tuple[Any, list[dict[str, Json]]]:
    """A model with the zeros of all goals, whose other weights, and biases, make up for them; and notes.

    Weights are ranked by `obs_prune.saliency`, with scope "global" over all layers at once. A kernel without
    statistics cannot be ranked with others: there the smallest weights go, or with scope "global" none, unless no
    kernel has any.

    Args:
      model: a folded candidate; it is not changed.
      wanted: see `goals.goals`.
      scope: "layer" or "global".
      statistics: of this model.
      calibration, seed, report: see `obs_walk.changed`.
    """
    from edgepack.backend import rebuild

    seen = [goal for goal in wanted if _key(goal) in statistics]
    unseen = [goal for goal in wanted if _key(goal) not in statistics]
    scores = [_score(goal, statistics[_key(goal)]) for goal in seen]
    stay = {
        _key(goal): statistics[_key(goal)].unfold(mask) != 0
        for goal, mask in zip(seen, masks(seen, scope, scores), strict=True)
    }

    def cut(key: Key, before: Array, refitted: Array, curvature: Curvature) -> Array:
        return obs_prune.prune(refitted, curvature, stay[key] & (before != 0))

    graph = obs_walk.changed(
        rebuild.graph_of(model), statistics, stay, cut, calibration=calibration, seed=seed, report=report
    )
    made = rebuild.build(graph)
    if scope == "global" and seen:
        return made, [_note(goal, "left alone: cannot be ranked with the others") for goal in unseen]
    for goal, mask in zip(unseen, masks(unseen, scope), strict=True):
        goal.on(made).cut(mask)
    return made, [_note(goal, "its smallest weights were cut") for goal in unseen]


def _key(goal: Goal) -> Key:
    return goal.kernel.layer, goal.kernel.role


def _score(goal: Goal, seen: LayerStatistics) -> np.ndarray:
    """What ranks the weights, in the kernel's shape: as large as a weight's absence costs.

    A threshold speaks of magnitudes; and so that single weights and groups of them add up alike, costs enter by their
    square roots.
    """
    value = goal.kernel.value()
    if goal.threshold is not None:
        return value
    cost = obs_prune.saliency(seen.unfold(value), Curvature.of(seen))
    return seen.fold(np.sqrt(cost), value.shape)


def _note(goal: Goal, instead: str) -> dict[str, Json]:
    return obs_walk.unseen_note(goal.kernel.layer, goal.kernel.role, instead)
