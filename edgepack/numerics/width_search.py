"""Widths for all groups of channels together: always the step that costs least loss for what it saves.

The cost of a layer depends on the widths on both of its sides, so it is asked for anew at every step; the loss of each
group comes from its own curve. At the end what the goal leaves over is given back where it helps most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from edgepack.numerics.channel_pruning import Curve

Widths = Mapping[int, int]
Cost = Callable[[Widths], float]
AHEAD = 4
"""How many widths beyond the next one are weighed: a saving may come in steps."""


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The widths that a group may have.

    Attributes:
      curve: its loss by width.
      widths: from all channels down; at least one.
    """

    curve: Curve
    widths: Sequence[int]


def ladder(curve: Curve, align: int, least: int = 1) -> Ladder:
    """All channels, and every multiple of `align` below that is at least `least`.

    Example:
      >>> from edgepack.numerics.channel_pruning import ranked
      >>> import numpy as np
      >>> ladder(ranked(np.ones(20)), align=8).widths
      (20, 16, 8)
    """
    channels = len(curve.order) + 1
    below = range((channels - 1) // align * align, max(least, 1) - 1, -align)
    return Ladder(curve=curve, widths=(channels, *(width for width in below if width > 0)))


def search(ladders: Mapping[int, Ladder], price: Cost, goal: Cost, limit: float) -> dict[int, int]:
    """The widths at which the goal is met and the groups lose least.

    Args:
      ladders: by group.
      price: what a saving is weighed in, such as milliseconds; of all groups' widths.
      goal: what must come down to `limit`, such as multiply-adds; falls with every width.
      limit: of the goal.

    Returns:
      Group → width. Where even the smallest widths miss the limit, those.
    """
    steps = dict.fromkeys(ladders, 0)

    def widths(changed: int | None = None, step: int = 0) -> dict[int, int]:
        return {
            group: each.widths[step if group == changed else steps[group]] for group, each in ladders.items()
        }

    while goal(widths()) > limit:
        before = price(widths())
        best: tuple[float, int, int] | None = None
        for group, each in ladders.items():
            for step in range(steps[group] + 1, min(steps[group] + 2 + AHEAD, len(each.widths))):
                saved = before - price(widths(group, step))
                lost = each.curve.error(each.widths[step]) - each.curve.error(each.widths[steps[group]])
                rate = lost / saved if saved > 0 else float("inf")
                if best is None or rate < best[0]:
                    best = rate, group, step
        if best is None:
            break
        steps[best[1]] = best[2]
    _give_back(ladders, steps, lambda group, step: goal(widths(group, step)) <= limit)
    return widths()


def _give_back(
    ladders: Mapping[int, Ladder], steps: dict[int, int], fits: Callable[[int, int], bool]
) -> None:
    """Widens again, by the largest gain first, while the goal still holds."""
    while True:
        gains = [
            (
                each.curve.error(each.widths[steps[group]]) - each.curve.error(each.widths[steps[group] - 1]),
                -group,
            )
            for group, each in ladders.items()
            if steps[group] > 0 and fits(group, steps[group] - 1)
        ]
        if not gains:
            return
        steps[-max(gains)[1]] -= 1
