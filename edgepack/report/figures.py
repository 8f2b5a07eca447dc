"""Numbers as people read them; what is not known is a dash, never a zero."""

from __future__ import annotations

import math
from typing import Final

UNKNOWN: Final = "–"


def size(count: float | None) -> str:
    """Bytes as KB of 1,000.

    Example:
      >>> size(68_344), size(912), size(12_345_678), size(None)
      ('68.3 KB', '912 B', '12.3 MB', '–')
    """
    if count is None or not math.isfinite(count):
        return UNKNOWN
    if abs(count) < 1000:
        return f"{count:,.0f} B"
    return f"{count / 1e3:,.1f} KB" if abs(count) < 1e6 else f"{count / 1e6:,.1f} MB"


def count(value: float | None) -> str:
    """A large number in few digits.

    Example:
      >>> count(611_424), count(940), count(12_501_632), count(None)
      ('611 k', '940', '12.5 M', '–')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    if abs(value) < 1e4:
        return f"{value:,.0f}"
    return f"{value / 1e3:,.0f} k" if abs(value) < 1e6 else f"{value / 1e6:,.1f} M"


def milliseconds(value: float | None) -> str:
    """A time given in ms, three significant digits.

    Example:
      >>> milliseconds(0.0176), milliseconds(1.5), milliseconds(127.2), milliseconds(None)
      ('17.6 µs', '1.5 ms', '127 ms', '–')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    amount, unit = (value * 1e3, "µs") if abs(value) < 0.1 else (value, "ms")
    return f"{float(f'{amount:.3g}'):,g} {unit}"


def share(value: float | None, digits: int = 1) -> str:
    """A part of 1 as percent.

    Example:
      >>> share(0.598), share(None)
      ('59.8 %', '–')
    """
    return UNKNOWN if value is None or not math.isfinite(value) else f"{100 * value:.{digits}f} %"


def score(value: float | None) -> str:
    """A metric: four decimals, or four significant digits where it is large."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:.4f}" if abs(value) < 100 else f"{value:,.4g}"


def signed(value: float | None) -> str:
    """A change, with a real minus.

    Example:
      >>> signed(0.0034), signed(-0.5), signed(0.0), signed(None)
      ('+0.0034', '−0.5000', '0.0000', '–')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    sign = "+" if value > 0 else "−" if value < 0 else ""
    return f"{sign}{score(abs(value))}"


def times(before: float | None, after: float | None) -> str:
    """How many times smaller.

    Example:
      >>> times(428_000, 68_300), times(1.0, 2.0), times(None, 3)
      ('6.27× smaller', '2.00× larger', '–')
    """
    if not before or not after:
        return UNKNOWN
    ratio = before / after
    return f"{ratio:.2f}× smaller" if ratio >= 1 else f"{1 / ratio:.2f}× larger"


def percent_change(before: float | None, after: float | None) -> str:
    """Growth relative to before.

    Example:
      >>> percent_change(100.0, 95.0), percent_change(100.0, 100.0)
      ('−5.0 %', '0.0 %')
    """
    if not before or after is None:
        return UNKNOWN
    change = 100 * (after / before - 1)
    sign = "+" if change > 0.05 else "−" if change < -0.05 else ""
    return f"{sign}{abs(change):.1f} %"


def seconds(value: float) -> str:
    """A duration.

    Example:
      >>> seconds(51.8), seconds(184)
      ('51.8 s', '3 min 4 s')
    """
    return f"{value:.1f} s" if value < 120 else f"{value // 60:.0f} min {value % 60:.0f} s"
