"""Whether one method's points beat all others' at the same bytes: the scoreboard's own arithmetic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Point:
    """A row as a point: bytes against loss (the drop below the float original; smaller is better)."""

    row: str
    method: str
    size_bytes: int
    drop: float


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """One point held against all rivals.

    Attributes:
      dominates: no rival is as small with no larger a drop, and none of the rivals' lines passes above the point.
      best_rival: the row with the smallest drop among those that are no larger; None where all are larger.
      margin: by how much the point's drop is smaller than that row's; None likewise.
      best_line: the rival method whose line has the smallest drop at the point's bytes; None where no line reaches.
      line_margin: by how much the point's drop is smaller than that line's.
    """

    row: str
    size_bytes: int
    drop: float
    dominates: bool
    best_rival: str | None
    margin: float | None
    best_line: str | None
    line_margin: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def verdict(point: Point, rivals: Iterable[Point]) -> Verdict:
    """Holds a point against its rivals.

    Example:
      >>> ours = Point(row="joint", method="joint", size_bytes=30, drop=0.01)
      >>> small = Point(row="a", method="m", size_bytes=20, drop=0.05)
      >>> large = Point(row="b", method="m", size_bytes=40, drop=0.0)
      >>> found = verdict(ours, [small, large])
      >>> found.dominates, found.best_rival, round(found.margin, 3), round(found.line_margin, 3)
      (True, 'a', 0.04, 0.015)
    """
    others = [rival for rival in rivals if rival.method != point.method]
    smaller = [rival for rival in others if rival.size_bytes <= point.size_bytes]
    best = min(smaller, key=lambda rival: (rival.drop, rival.size_bytes, rival.row), default=None)
    lines = {
        method: at
        for method, points in by_method(others).items()
        if (at := line_at(points, point.size_bytes)) is not None
    }
    best_line = min(lines, key=lambda method: (lines[method], method), default=None)
    margin = None if best is None else best.drop - point.drop
    line_margin = None if best_line is None else lines[best_line] - point.drop
    return Verdict(
        row=point.row,
        size_bytes=point.size_bytes,
        drop=point.drop,
        dominates=(margin is None or margin > 0) and (line_margin is None or line_margin > 0),
        best_rival=best.row if best else None,
        margin=margin,
        best_line=best_line,
        line_margin=line_margin,
    )


def by_method(points: Iterable[Point]) -> Mapping[str, list[Point]]:
    """The points of each method, smallest first."""
    found: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.method, point.size_bytes, point.drop)):
        found.setdefault(point.method, []).append(point)
    return found


def line_at(points: Sequence[Point], size_bytes: int) -> float | None:
    """The drop of a method's line at these bytes: linear between its points, None outside of them.

    Example:
      >>> line = [Point(row="", method="m", size_bytes=10, drop=0.4), Point(row="", method="m", size_bytes=20, drop=0.2)]
      >>> round(line_at(line, 15), 3), line_at(line, 30)
      (0.3, None)
    """
    sizes = [point.size_bytes for point in points]
    if not sizes[0] <= size_bytes <= sizes[-1]:
        return None
    return float(np.interp(size_bytes, sizes, [point.drop for point in points]))
