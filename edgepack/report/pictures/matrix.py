"""Which class is taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt


def confusion(counts: npt.NDArray[np.int64], names: Sequence[str]) -> dict[str, Any]:
    """A cell for each pair of classes, darker for a larger share of its row.

    Args:
      counts: [C, C], true class by row.
      names: one a class, in order.
    """
    labels = [f"{number} {name}" if name != str(number) else name for number, name in enumerate(names)]
    step = 46 if len(counts) <= 4 else 26 if len(counts) <= 12 else 18
    x = {"field": "column", "type": "nominal", "sort": labels, "title": "answer", "scale": {"domain": labels}}
    y = {"field": "row", "type": "nominal", "sort": labels, "title": "label", "scale": {"domain": labels}}
    layers = [CELLS, COUNTS] if len(counts) <= 12 else [CELLS]
    return {
        "width": {"step": step},
        "height": {"step": step},
        "data": {"values": _cells(counts, labels)},
        "encoding": {"x": x, "y": y},
        "layer": layers,
        "resolve": {"scale": {"color": "independent"}},
    }


def _cells(counts: npt.NDArray[np.int64], labels: Sequence[str]) -> list[dict[str, Any]]:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return [
        {
            "row": labels[row],
            "column": labels[column],
            "share": float(shares[row, column]),
            "count": int(counts[row, column]),
            "kind": "right" if row == column else "wrong",
            "ink": "light" if shares[row, column] > 0.5 else "dark",
            "told": f"{labels[row]} taken for {labels[column]}: {int(counts[row, column]):,}",
        }
        for row in range(len(counts))
        for column in range(len(counts))
        if counts[row, column]
    ]


def _coloured(field: str, domain: list[str], colours: list[str]) -> dict[str, Any]:
    scale = {"domain": domain, "range": colours}
    return {"field": field, "type": "nominal", "legend": None, "scale": scale}


CELLS: Final[Mapping[str, Any]] = {
    "mark": {"type": "rect", "cornerRadius": 2},
    "encoding": {
        "color": _coloured("kind", ["right", "wrong"], ["var(--third)", "var(--second)"]),
        "opacity": {
            "field": "share",
            "type": "quantitative",
            "legend": None,
            "scale": {"domain": [0, 0.5], "range": [0.22, 1], "clamp": True},
        },
        "description": {"field": "told"},
    },
}
COUNTS: Final[Mapping[str, Any]] = {
    "mark": {"type": "text", "aria": False, "fontSize": 11},
    "encoding": {
        "text": {"field": "count"},
        "color": _coloured("ink", ["light", "dark"], ["var(--on-fill)", "var(--ink)"]),
    },
}
