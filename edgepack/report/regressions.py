"""What got worse between two releases, and whether that is more than was allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from edgepack import errors
from edgepack.benchmark import Comparison
from edgepack.numerics.metrics import ERRORS
from edgepack.report import figures
from edgepack.report.documents import Metric, Packaged

Aspect = Literal["drop", "bytes", "latency"]
DEFAULTS: Final[Mapping[Aspect, float]] = {"drop": 0.0, "bytes": 0.0, "latency": 0.1}
"""What may be lost without an allowance: nothing that is exact, a tenth of what is measured on a busy machine."""
SAME: Final = ("cpu", "runtime", "version", "kernels", "threads")
"""Circumstances that must agree before two latencies are compared."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One aspect of one device's model.

    Attributes:
      aspect: what is watched by --fail-on.
      worse: by how much; negative is better; None where it cannot be told.
      regressed: whether it is worse than allowed, or cannot be told.
      text: in words.
    """

    device: str
    aspect: Aspect
    old: float | None
    new: float | None
    worse: float | None
    allowed: float | None
    regressed: bool
    text: str


def allowances(text: str) -> dict[Aspect, float]:
    """What --fail-on says: "drop,bytes=1%,latency=5%".

    Raises:
      BadInputError: names what is not understood.

    Example:
      >>> allowances("drop=0.002,bytes=1%")
      {'drop': 0.002, 'bytes': 0.01}
    """
    found: dict[Aspect, float] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"(\w+)(?:=(\d+(?:\.\d+)?)(%?))?", item)
        aspect = next((name for name in get_args(Aspect) if match is not None and name == match[1]), None)
        if match is None or aspect is None:
            raise errors.BadInputError(
                f"--fail-on {item!r} is not understood; expected drop, bytes or latency, with or without an allowance, "
                "such as drop=0.002,bytes=1%,latency=5%"
            )
        found[aspect] = DEFAULTS[aspect] if match[2] is None else float(match[2]) / (100 if match[3] else 1)
    return found


def changes(
    device: str, old: Packaged, new: Packaged, allowed: Mapping[Aspect, float], measured: Comparison | None
) -> Iterator[Change]:
    """Every aspect of one device's model, watched or not.

    Args:
      allowed: by aspect; what is not in it does not regress.
      measured: new against old, timed in turns here; None to take the latencies of the builds.
    """
    yield _drop(device, old.metric, new.metric, allowed.get("drop"))
    yield _bytes(device, old, new, allowed.get("bytes"))
    if measured is None:
        yield _latency(device, old, new, allowed.get("latency"))
    else:
        yield _timed(device, measured, allowed.get("latency"))


def _drop(device: str, old: Metric | None, new: Metric | None, allowed: float | None) -> Change:
    if old is None or new is None or old.name != new.name:
        text = "the metric is not the same" if old is not None and new is not None else "one has no metric"
        return _unknown(device, "drop", allowed, f"metric: {text}, so it cannot be compared")
    worse = _worse(old.name, old.tflite_value, new.tflite_value)
    told = f"{old.name} {figures.score(old.tflite_value)} → {figures.score(new.tflite_value)}"
    return _known(device, "drop", old.tflite_value, new.tflite_value, worse, allowed, told)


def _worse(name: str, old: float, new: float) -> float:
    """Absolute for scores, relative for errors, as drops are; a metric of the user's own counts as a score."""
    worse = (new - old) / max(abs(old), 1e-12) if name in ERRORS else old - new
    return round(worse, 12)


def _bytes(device: str, old: Packaged, new: Packaged, allowed: float | None) -> Change:
    if old.sizes is None or new.sizes is None:
        return _unknown(device, "bytes", allowed, "bytes: one has no model, so they cannot be compared")
    before, after = old.sizes.delivered_bytes, new.sizes.delivered_bytes
    told = f"delivered {figures.size(before)} → {figures.size(after)}, file {figures.size(old.sizes.file_bytes)} → "
    told += figures.size(new.sizes.file_bytes)
    worse = max(after / before, new.sizes.file_bytes / old.sizes.file_bytes) - 1
    return _known(device, "bytes", before, after, worse, allowed, told)


def _latency(device: str, old: Packaged, new: Packaged, allowed: float | None) -> Change:
    before, after = (_median(item) for item in (old, new))
    if before is None or after is None:
        text = "latency: not measured in both; --measure times both here in turns"
        return _unknown(device, "latency", allowed, text)
    unlike = [name for name in SAME if _circumstance(old, name) != _circumstance(new, name)]
    if unlike:
        text = f"latency: measured under other circumstances ({', '.join(unlike)}); --measure times both here in turns"
        return _unknown(device, "latency", allowed, text)
    told = f"latency {figures.milliseconds(before)} → {figures.milliseconds(after)}"
    return _known(device, "latency", before, after, after / before - 1, allowed, told)


def _timed(device: str, measured: Comparison, allowed: float | None) -> Change:
    told = (
        f"latency, timed here in turns: {measured.ratio:.3f} of the old one's time, 95 % interval "
        f"{measured.low:.3f} … {measured.high:.3f}"
    )
    old, new, surely = measured.b_ms.p50, measured.a_ms.p50, measured.low - 1
    return Change(
        device=device,
        aspect="latency",
        old=old,
        new=new,
        worse=measured.ratio - 1,
        allowed=allowed,
        regressed=allowed is not None and surely > allowed,
        text=told,
    )


def _median(packaged: Packaged) -> float | None:
    value = (packaged.latency_ms or {}).get("p50")
    return float(value) if isinstance(value, int | float) and value > 0 else None


def _circumstance(packaged: Packaged, name: str) -> Any:
    told = (packaged.benchmark or {}).get("artifact")
    return told.get(name) if isinstance(told, Mapping) else None


def _known(
    device: str, aspect: Aspect, old: float, new: float, worse: float, allowed: float | None, text: str
) -> Change:
    regressed = allowed is not None and worse > allowed + 1e-12
    if regressed:
        text += f": worse by {worse:.4g}, more than the allowed {allowed:g}"
    return Change(
        device=device,
        aspect=aspect,
        old=old,
        new=new,
        worse=worse,
        allowed=allowed,
        regressed=regressed,
        text=text,
    )


def _unknown(device: str, aspect: Aspect, allowed: float | None, text: str) -> Change:
    """What is to be watched and cannot be seen does not pass."""
    return Change(
        device=device,
        aspect=aspect,
        old=None,
        new=None,
        worse=None,
        allowed=allowed,
        regressed=allowed is not None,
        text=text,
    )


def regressed(found: Sequence[Change]) -> list[str]:
    """What to tell, device by device."""
    return [
        f"{change.device}: {change.text}" if change.device else change.text
        for change in found
        if change.regressed
    ]
