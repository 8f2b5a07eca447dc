"""The scoreboard as a picture: delivered bytes against the metric, one line per method, one panel per model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from tests.benchmarks.scoreboard.row import Found

Style = Mapping[str, Any]
GREY: Final = "#8a8a8a"
STYLES: Final[dict[str, Style]] = {
    "edgepack joint plan": {"color": "#c1121f", "marker": "o", "linewidth": 2.4, "zorder": 5},
    "edgepack joint, fine-tuned": {"color": "#c1121f", "marker": "*", "markersize": 11, "zorder": 6},
    "edgepack cluster": {"color": "#1d70b7", "marker": "s"},
    "edgepack cluster, one scale": {"color": "#6fb1e0", "marker": "s"},
    "edgepack prune": {"color": "#2a9134", "marker": "^"},
    "edgepack factorize": {"color": "#8f4fbf", "marker": "D", "markersize": 4.5},
    "edgepack few bits": {"color": "#0f9fa8", "marker": "X"},
    "edgepack shrink": {"color": "#b8860b", "marker": "v"},
    "edgepack shrink, fine-tuned": {"color": "#dab042", "marker": "v"},
    "edgepack PTQ": {"color": "#111111", "marker": "P"},
    "TF-MOT": {"color": "#e07a1f", "marker": "h", "linestyle": "--"},
    "converter PTQ": {"color": GREY, "marker": "o", "markerfacecolor": "white"},
    "ai-edge-quantizer": {"color": GREY, "marker": "s", "markerfacecolor": "white"},
    "published int8": {"color": GREY, "marker": "D", "markerfacecolor": "white"},
}
FLOAT: Final = "float original"
JOINT: Final = "edgepack joint plan"
DEEPEST: Final = 0.12
"""How far below the best a panel reaches; what fell deeper has its value written on the lower edge."""
SHALLOWEST: Final = 0.02
"""What a panel shows at least: models that differ by a tenth of a point are not to look worlds apart."""
NARROWEST: Final = 1.5
"""Likewise for bytes: the largest by the smallest."""
TICKS: Final = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)
COLUMNS, WIDTH, HEIGHT = 2, 4.6, 3.3
SETTINGS: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "scoreboard",  # or the ids inside change from run to run
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 5.5,
}


def draw(rows: Sequence[Found], cases: Mapping[str, Any], target: Path) -> list[Path]:
    """Writes the picture as .svg and .png.

    Args:
      rows: all that were run; failures are left out.
      cases: facts by case, as in the document.
      target: path without suffix.
    """
    names = [name for name in cases if any(_drawn(row) for row in rows if row.case == name)]
    if not names:
        return []
    with mpl.rc_context(SETTINGS):
        columns = min(COLUMNS, len(names))
        lines = math.ceil(len(names) / columns)
        figure = Figure(figsize=(WIDTH * columns, HEIGHT * lines + 0.9), layout="constrained")
        panels = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, name in zip(panels, names, strict=False):
            _panel(axes, name, cases[name], [row for row in rows if row.case == name])
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        handles = {
            label: handle
            for axes in panels[: len(names)]
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        ordered = [name for name in (*STYLES, FLOAT) if name in handles]
        figure.legend(
            [handles[name] for name in ordered], ordered, loc="outside lower center", ncols=4, frameon=False
        )
        written = [target.with_suffix(".svg"), target.with_suffix(".png")]
        figure.savefig(written[0], metadata={"Date": None})
        figure.savefig(written[1], dpi=130)
    return written


def _drawn(row: Found) -> bool:
    return row.failure is None and row.sizes is not None and row.value is not None and row.method in STYLES


def _panel(axes: Axes, name: str, facts: Mapping[str, Any], rows: Sequence[Found]) -> None:
    shown = [row for row in rows if _drawn(row)]
    original = [row.value for row in rows if row.method == FLOAT and row.value is not None]
    low, high = heights([*original, *(end for row in shown for end in _ends(row))])
    for method in STYLES:
        own = sorted((row for row in shown if row.method == method), key=_delivered)
        if own:
            _line(axes, method, own, low)
    for value in original:
        axes.axhline(value, color="#444444", linewidth=0.9, linestyle=":", label=FLOAT)
    axes.set_ylim(low, high)
    axes.set_xscale("log")
    axes.set_xlim(widths([_delivered(row) for row in shown]))
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=TICKS))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size / 1000:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_minor_locator(LogLocator(base=10, subs=()))
    axes.set_title(name, loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel("delivered KB (brotli)")
    axes.set_ylabel(facts.get("metric", "metric"))
    axes.grid(color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)


def _delivered(row: Found) -> int:
    return (row.sizes or {})["delivered"]


def _ends(row: Found) -> list[float]:
    """What of a row is to be seen: its value, and the joint plan's interval."""
    assert row.value is not None
    (below,), (above,) = _reach([row]) if row.method == JOINT else ([0.0], [0.0])
    return [row.value - below, row.value, row.value + above]


def _line(axes: Axes, method: str, rows: Sequence[Found], low: float) -> None:
    style = STYLES[method]
    sizes = [(row.sizes or {})["delivered"] for row in rows]
    values = [row.value or 0.0 for row in rows]
    axes.plot(sizes, values, label=method, **style)
    if method == JOINT:
        bars = {"fmt": "none", "ecolor": style["color"], "elinewidth": 0.8, "capsize": 2, "zorder": 4}
        axes.errorbar(sizes, values, yerr=_reach(rows), **bars)
    for size, value in zip(sizes, values, strict=True):
        if value < low:
            place = {"xytext": (0, 1), "textcoords": "offset points", "fontsize": 7, "ha": "center"}
            axes.annotate(f"{value:.2f} ↓", (size, low), color=style["color"], **place)


def _reach(rows: Sequence[Found]) -> list[list[float]]:
    """How far each value's paired 95 % interval reaches below and above it."""
    below = [max(0.0, row.interval[1] - row.drop) if row.interval else 0.0 for row in rows]
    above = [max(0.0, row.drop - row.interval[0]) if row.interval else 0.0 for row in rows]
    return [below, above]


def heights(values: Sequence[float]) -> tuple[float, float]:
    """Lower and upper edge of a panel: `DEEPEST` below the best at most, `SHALLOWEST` in all at least.

    Example:
      >>> [[round(edge, 4) for edge in heights(values)] for values in ([0.1, 0.8, 0.84], [0.992, 0.9921])]
      [[0.7128, 0.8472], [0.9808, 1.0032]]
    """
    high = max(values)
    low = max(min(values), high - DEEPEST)
    lack = max(0.0, SHALLOWEST - (high - low)) / 2
    room = 0.06 * (high - low + 2 * lack)
    return low - lack - room, high + lack + room


def widths(sizes: Sequence[int]) -> tuple[float, float]:
    """Left and right edge of a panel, `NARROWEST` apart at least, with room for words at both.

    Example:
      >>> widths([1000, 4000]), widths([1000])
      ((880.0, 4545.45), (718.52, 1391.76))
    """
    lack = max(1.0, NARROWEST / (max(sizes) / min(sizes))) ** 0.5
    return round(min(sizes) / lack * 0.88, 2), round(max(sizes) * lack / 0.88, 2)
