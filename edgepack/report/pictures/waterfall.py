"""How something shrank, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgepack.report.pictures.drawing import WIDTH


def bars(steps: Sequence[tuple[str, float, str]], *, unit: str) -> dict[str, Any]:
    """One bar a step, from where the step before ended to where this one does; the first and last stand on the ground.

    Args:
      steps: (name, where it ended, in words).
      unit: title of the axis.
    """
    values = []
    before = 0.0
    for number, (name, after, shown) in enumerate(steps):
        ends = number in (0, len(steps) - 1)
        values.append(
            {
                "step": name,
                "order": number,
                "from": 0.0 if ends else before,
                "to": after,
                "end": max(after, 0.0 if ends else before),
                "shown": shown,
                "kind": "whole" if ends else "less" if after <= before else "more",
                "told": f"{name}: {shown}",
            }
        )
        before = after
    order = {"field": "step", "type": "nominal", "sort": {"field": "order"}, "title": None}
    colour = {
        "field": "kind",
        "type": "nominal",
        "legend": None,
        "scale": {
            "domain": ["whole", "less", "more"],
            "range": ["var(--before)", "var(--after)", "var(--second)"],
        },
    }
    return {
        "width": WIDTH,
        "height": {"step": 30},
        "data": {"values": values},
        "encoding": {"y": order},
        "layer": [
            {
                "mark": {"type": "bar", "cornerRadius": 2, "height": {"band": 0.7}},
                "encoding": {
                    "x": {"field": "from", "type": "quantitative", "title": unit, "axis": {"tickCount": 6}},
                    "x2": {"field": "to"},
                    "color": colour,
                    "description": {"field": "told"},
                },
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 5, "aria": False},
                "encoding": {"x": {"field": "end", "type": "quantitative"}, "text": {"field": "shown"}},
            },
        ],
    }
