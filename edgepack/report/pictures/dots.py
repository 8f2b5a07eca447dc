"""Values as dots: a metric stage by stage, a front of trade-offs, recall of classes, latency's spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from edgepack.report.pictures.drawing import WIDTH


def steps(values: Sequence[tuple[str, float, str]], *, unit: str) -> dict[str, Any]:
    """One dot a step, joined by a line, on an axis that need not start at zero.

    Args:
      values: (step, value, in words).
    """
    rows = [
        {"step": name, "order": number, "value": value, "shown": shown, "told": f"{name}: {shown}"}
        for number, (name, value, shown) in enumerate(values)
    ]
    y = {"field": "step", "type": "nominal", "sort": {"field": "order"}, "title": None}
    low, high = min(value for _, value, _ in values), max(value for _, value, _ in values)
    room = max(0.2 * (high - low), 0.005 * abs(high), 1e-6)
    domain = [low - room, high + room]
    x = {"field": "value", "type": "quantitative", "title": unit, "scale": {"domain": domain, "nice": False}}
    x["axis"] = {"tickCount": 4}
    return {
        "width": WIDTH,
        "height": {"step": 30},
        "data": {"values": rows},
        "encoding": {"y": y, "x": x},
        "layer": [
            {"mark": {"type": "line", "color": "var(--before)"}, "encoding": {"order": {"field": "order"}}},
            {
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1, "color": "var(--after)"},
                "encoding": {"description": {"field": "told"}},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 8, "dy": -8, "aria": False},
                "encoding": {"text": {"field": "shown"}},
            },
        ],
    }


def front(
    points: Sequence[Mapping[str, Any]], *, x: str, y: str, limit: float | None = None
) -> dict[str, Any]:
    """A cloud of tried points with its front and the chosen one.

    Args:
      points: "x", "y", "kind" ("chosen", "front" or "tried"), "told"; also "low" and "high" of an interval of y.
      x, y: titles of the axes.
      limit: of x, drawn as a line.
    """
    scale = {"zero": False, "padding": 16}
    at = {"field": "x", "type": "quantitative", "title": x, "scale": scale}
    value = {"field": "y", "type": "quantitative", "title": y, "scale": scale}
    layers = [
        {
            "transform": [{"filter": {"field": "low", "valid": True}}],
            "mark": {"type": "rule", "color": "var(--before)", "opacity": 0.6},
            "encoding": {"x": at, "y": {**value, "field": "low"}, "y2": {"field": "high"}},
        },
        {
            "transform": [{"filter": {"field": "kind", "oneOf": ["chosen", "front"]}}],
            "mark": {
                "type": "line",
                "color": "var(--after)",
                "strokeDash": [4, 3],
                "interpolate": "step-after",
            },
            "encoding": {"x": at, "y": value},
        },
        {
            "mark": {"type": "point", "filled": True, "opacity": 1},
            "encoding": {"x": at, "y": value, **POINTS},
        },
    ]
    if limit is not None:
        rule = {"type": "rule", "color": "var(--bad)", "strokeDash": [6, 4]}
        layers.append({"data": {"values": [{"x": limit}]}, "mark": rule, "encoding": {"x": at}})
    values = [dict(point) for point in points]
    return {"width": 520, "height": 280, "data": {"values": values}, "layer": layers}


CHOSEN: Final = {"field": "kind", "equal": "chosen"}
POINTS: Final[Mapping[str, Any]] = {
    "color": {
        "field": "kind",
        "type": "nominal",
        "title": None,
        "legend": {"orient": "top"},
        "scale": {
            "domain": ["chosen", "front", "tried"],
            "range": ["var(--second)", "var(--after)", "var(--before)"],
        },
    },
    "size": {"condition": {"test": CHOSEN, "value": 190}, "value": 75},
    "shape": {"condition": {"test": CHOSEN, "value": "diamond"}, "value": "circle"},
    "description": {"field": "told"},
}


def dumbbells(rows: Sequence[tuple[str, float, float]], *, unit: str) -> dict[str, Any]:
    """For each name where it was (grey) and where it is now (blue).

    Args:
      rows: (name, before, after).
    """
    values = [
        {
            "name": name,
            "order": number,
            "before": before,
            "after": after,
            "told": f"{name}: {before:.3f} → {after:.3f}",
        }
        for number, (name, before, after) in enumerate(rows)
    ]
    y = {"field": "name", "type": "nominal", "sort": {"field": "order"}, "title": None}
    scale = {"zero": False, "padding": 12}
    return {
        "width": 340,
        "height": {"step": 22},
        "data": {"values": values},
        "encoding": {"y": y},
        "layer": [
            {
                "mark": {"type": "rule", "color": "var(--before)", "strokeWidth": 2},
                "encoding": {
                    "x": {
                        "field": "before",
                        "type": "quantitative",
                        "title": unit,
                        "scale": scale,
                        "axis": {"tickCount": 4},
                    },
                    "x2": {"field": "after"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "color": "var(--before)"},
                "encoding": {
                    "x": {"field": "before", "type": "quantitative"},
                    "description": {"field": "told"},
                },
            },
            {
                "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1, "color": "var(--after)"},
                "encoding": {
                    "x": {"field": "after", "type": "quantitative"},
                    "description": {"field": "told"},
                },
            },
        ],
    }


def lines(rows: Sequence[Mapping[str, Any]], *, x: str, y: str, diagonal: bool = False) -> dict[str, Any]:
    """Two lines with dots, float and shipped.

    Args:
      rows: "x", "y", "who" ("float" or "shipped"), "told".
      diagonal: whether to draw where x = y.
    """
    colour = {
        "field": "who",
        "type": "nominal",
        "title": None,
        "legend": {"orient": "top"},
        "scale": {"domain": ["float", "shipped"], "range": ["var(--before)", "var(--after)"]},
    }
    encoding = {
        "x": {
            "field": "x",
            "type": "quantitative",
            "title": x,
            "scale": {"zero": True},
            "axis": {"tickCount": 5},
        },
        "y": {"field": "y", "type": "quantitative", "title": y, "scale": {"zero": diagonal, "padding": 10}},
        "color": colour,
    }
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "line"}, "encoding": encoding},
        {
            "mark": {"type": "point", "filled": True, "size": 55, "opacity": 1},
            "encoding": {**encoding, "description": {"field": "told"}},
        },
    ]
    if diagonal:
        layers.insert(
            0,
            {
                "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
                "mark": {"type": "line", "color": "var(--rule)", "strokeDash": [4, 4]},
                "encoding": {
                    "x": {"field": "x", "type": "quantitative"},
                    "y": {"field": "y", "type": "quantitative"},
                },
            },
        )
    return {"width": 340, "height": 240, "data": {"values": [dict(row) for row in rows]}, "layer": layers}


def boxes(rows: Sequence[Mapping[str, Any]], *, unit: str) -> dict[str, Any]:
    """Spread of times: a line from p10 to p99, a box to p90, a tick at the median.

    Args:
      rows: "name", "p10", "p50", "p90", "p99", "told".
    """
    values = [{**row, "order": number} for number, row in enumerate(rows)]
    y = {"field": "name", "type": "nominal", "sort": {"field": "order"}, "title": None}

    def x(field: str) -> dict[str, Any]:
        axis = {"tickCount": 5}
        return {"field": field, "type": "quantitative", "title": unit, "scale": {"zero": True}, "axis": axis}

    return {
        "width": WIDTH,
        "height": {"step": 38},
        "data": {"values": values},
        "encoding": {"y": y},
        "layer": [
            {
                "mark": {"type": "rule", "color": "var(--before)"},
                "encoding": {"x": x("p10"), "x2": {"field": "p99"}},
            },
            {
                "mark": {"type": "bar", "height": 16, "color": "var(--after)", "cornerRadius": 2},
                "encoding": {"x": x("p10"), "x2": {"field": "p90"}, "description": {"field": "told"}},
            },
            {
                "mark": {"type": "tick", "thickness": 3, "size": 22, "color": "var(--ink)"},
                "encoding": {"x": x("p50")},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 6, "aria": False},
                "encoding": {"x": x("p99"), "text": {"field": "shown"}},
            },
        ],
    }
