"""Where every byte of a file goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

WIDTH, HEIGHT = 760, 330
COLOURS: Final[Mapping[str, str]] = {
    "kernels": "var(--after)",
    "biases": "var(--third)",
    "scales and zero points": "var(--second)",
    "other constants": "var(--fourth)",
    "names": "var(--fifth)",
    "metadata": "var(--sixth)",
    "structure": "var(--before)",
}


def treemap(parts: Sequence[tuple[str, str, int, str]]) -> dict[str, Any]:
    """Cells in proportion to bytes, grouped by what they serve.

    Args:
      parts: (purpose, name, bytes, in words).
    """
    purposes = [purpose for purpose in COLOURS if any(part[0] == purpose for part in parts)]
    colours = [COLOURS[purpose] for purpose in purposes]
    return {
        "$schema": "https://vega.github.io/schema/vega/v5.json",
        "width": WIDTH,
        "height": HEIGHT,
        "padding": {"left": 2, "right": 2, "top": 2, "bottom": 2},
        "data": _data(parts, purposes),
        "scales": [{"name": "colour", "type": "ordinal", "domain": purposes, "range": colours}],
        "legends": [LEGEND],
        "marks": [CELLS, NAMES],
    }


def _data(parts: Sequence[tuple[str, str, int, str]], purposes: Sequence[str]) -> list[dict[str, Any]]:
    """The tree of root, purposes and cells, laid out; its cells; those that have room for their name."""
    nodes: list[dict[str, Any]] = [{"id": 0}]
    nodes += [{"id": 1 + number, "parent": 0} for number in range(len(purposes))]
    for purpose, name, size_bytes, told in parts:
        parent = 1 + purposes.index(purpose)
        cell = {"size": size_bytes, "purpose": purpose, "name": name, "told": told}
        nodes.append({"id": len(nodes), "parent": parent, **cell})
    layout = {
        "type": "treemap",
        "field": "size",
        "sort": {"field": "value", "order": "descending"},
        "round": True,
        "paddingInner": 2,
        "size": [{"signal": "width"}, {"signal": "height"}],
    }
    tree = [{"type": "stratify", "key": "id", "parentKey": "parent"}, layout]
    roomy = "datum.x1 - datum.x0 > 8 + 7 * length(datum.name) && datum.y1 - datum.y0 > 16"
    return [
        {"name": "tree", "values": nodes, "transform": tree},
        {"name": "leaves", "source": "tree", "transform": [{"type": "filter", "expr": "!datum.children"}]},
        {"name": "large", "source": "leaves", "transform": [{"type": "filter", "expr": roomy}]},
    ]


LEGEND: Final[Mapping[str, Any]] = {
    "fill": "colour",
    "orient": "bottom",
    "direction": "horizontal",
    "columns": 4,
    "columnPadding": 34,
    "labelColor": "var(--soft)",
    "labelFont": "system-ui, sans-serif",
    "labelFontSize": 12,
    "symbolType": "square",
}
CELLS: Final[Mapping[str, Any]] = {
    "type": "rect",
    "from": {"data": "leaves"},
    "encode": {
        "enter": {
            "x": {"field": "x0"},
            "x2": {"field": "x1"},
            "y": {"field": "y0"},
            "y2": {"field": "y1"},
            "fill": {"scale": "colour", "field": "purpose"},
            "description": {"field": "told"},
        }
    },
}
NAMES: Final[Mapping[str, Any]] = {
    "type": "text",
    "from": {"data": "large"},
    "encode": {
        "enter": {
            "x": {"field": "x0", "offset": 5},
            "y": {"field": "y0", "offset": 14},
            "text": {"field": "name"},
            "font": {"value": "system-ui, sans-serif"},
            "fontSize": {"value": 12},
            "fill": {"value": "var(--on-fill)"},
        }
    },
}
