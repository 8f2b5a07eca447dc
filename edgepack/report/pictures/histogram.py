"""How numbers lie, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def overlaid(
    before: Sequence[float], after: Sequence[float], *, low: float, high: float, unit: str
) -> dict[str, Any]:
    """Two histograms over the same bins: the float model's as an area, the shipped model's as a line.

    Args:
      before, after: shares of each bin; () where there is nothing.
      low, high: ends of the range.
    """
    values = []
    for who, shares in (("float", before), ("shipped", after)):
        width = (high - low) / max(1, len(shares))
        values += [
            {"at": low + number * width, "share": 100 * share, "who": who}
            for number, share in enumerate(shares)
        ]
    x = {"field": "at", "type": "quantitative", "title": unit, "axis": {"tickCount": 4, "grid": False}}
    y = {"field": "share", "type": "quantitative", "title": "%", "axis": {"tickCount": 3}}
    return {
        "width": 240,
        "height": 90,
        "data": {"values": values},
        "layer": [
            {
                "transform": [{"filter": {"field": "who", "equal": "float"}}],
                "mark": {
                    "type": "area",
                    "interpolate": "step-after",
                    "color": "var(--before)",
                    "opacity": 0.55,
                },
                "encoding": {"x": x, "y": y},
            },
            {
                "transform": [{"filter": {"field": "who", "equal": "shipped"}}],
                "mark": {
                    "type": "line",
                    "interpolate": "step-after",
                    "color": "var(--after)",
                    "strokeWidth": 1.5,
                },
                "encoding": {"x": x, "y": y},
            },
        ],
    }
