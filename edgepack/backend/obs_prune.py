"""Pruning by what a weight's absence costs the loss, in one shot, without training (`numerics.obs_prune`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgepack.backend.epochs import Report
from edgepack.backend.goals import Goal, masks
from edgepack.backend.obs_kernels import ObservedKernel, Statistics, observed_kernels, unseen_note
from edgepack.numerics import obs_prune
from edgepack.records import Json

TITLE = "pruning"


def prune_observed(
    model: Any, wanted: Sequence[Goal], scope: str, statistics: Statistics, report: Report
) -> list[dict[str, Json]]:
    """Makes the zeros of all goals in place; the weights that stay, and the biases, make up for them.

    Weights are ranked by `obs_prune.saliency`, with scope "global" over all layers at once. A kernel without
    statistics cannot be ranked with others: there the smallest weights go, or with scope "global" none, unless no
    kernel has any.

    Args:
      model: a built tf_keras model, folded.
      wanted: see `goals.goals`.
      scope: "layer" or "global".
      statistics: by (layer, role), of this model.

    Returns:
      Notes on kernels that had to be treated otherwise.
    """
    pairs = [(goal, _observed(model, goal, statistics)) for goal in wanted]
    seen = [(goal, kernel) for goal, kernel in pairs if kernel is not None]
    unseen = [goal for goal, kernel in pairs if kernel is None]
    scores = []
    for number, (goal, kernel) in enumerate(seen):
        report(f"{TITLE}: {goal.kernel.layer}", 0.5 * number / len(seen))
        scores.append(_score(goal, kernel))
    for number, ((goal, kernel), mask) in enumerate(
        zip(seen, masks([goal for goal, _ in seen], scope, scores), strict=True)
    ):
        report(f"{TITLE}: {goal.kernel.layer}", 0.5 + 0.5 * number / len(seen))
        stays = kernel.statistics.unfold(mask) != 0
        kernel.write(obs_prune.prune(kernel.matrices(), kernel.curvature(), stays))
    if scope == "global" and seen:
        return [unseen_note(goal.kernel, "left alone: cannot be ranked with the others") for goal in unseen]
    for goal, mask in zip(unseen, masks(unseen, scope), strict=True):
        goal.cut(mask)
    return [unseen_note(goal.kernel, "its smallest weights were cut") for goal in unseen]


def _observed(model: Any, goal: Goal, statistics: Statistics) -> ObservedKernel | None:
    seen, _ = observed_kernels(model, goal.kernel.layer, [goal.kernel.role], statistics)
    return seen[0] if seen else None


def _score(goal: Goal, kernel: ObservedKernel) -> np.ndarray:
    """What ranks the weights, in the kernel's shape: as large as a weight's absence costs.

    A threshold speaks of magnitudes; and so that single weights and groups of them add up alike, costs enter by their
    square roots.
    """
    if goal.threshold is not None:
        return kernel.kernel.value()
    cost = obs_prune.saliency(kernel.matrices(), kernel.curvature())
    return kernel.in_shape(np.sqrt(cost))
