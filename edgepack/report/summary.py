"""The top of the page: what was measured, against its budget, the float model and the previous release."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from edgepack.numerics.metrics import ERRORS
from edgepack.recipe.budget import UNLIMITED
from edgepack.report import figures
from edgepack.report.documents import Metric, Packaged, Weighed

SIZES: Final = (
    ("delivered_bytes", "Delivered", "over the air, brotli"),
    ("file_bytes", "File", "the .tflite"),
    ("flash_bytes", "Flash", "as the device stores it"),
)


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """One number that decides about a release.

    Attributes:
      key: in JSON: "metric", "drop", "delivered_bytes", "latency_ms" …
      value, budget, baseline, previous: plain numbers; None where unknown or not asked for.
      shown, limit, from_float, from_previous: the same in words; "" where there is nothing to say.
      note: what belongs beside the number.
      holds: whether the budget is kept; None without one.
      filled: value over budget, for the bar; None without one.
    """

    key: str
    label: str
    value: float | None
    shown: str
    note: str = ""
    budget: float | None = None
    limit: str = ""
    baseline: float | None = None
    from_float: str = ""
    previous: float | None = None
    from_previous: str = ""
    holds: bool | None = None
    filled: float | None = None


def gauges(packaged: Packaged, previous: Packaged | None) -> list[Gauge]:
    """Every gauge of one device's model, the most asked for first."""
    return [
        *_accuracy(packaged, previous),
        *_sizes(packaged, previous),
        *_update(packaged),
        *_latency(packaged, previous),
        *_work(packaged, previous),
    ]


def _accuracy(packaged: Packaged, previous: Packaged | None) -> Iterator[Gauge]:
    metric = packaged.metric
    if metric is None:
        return
    before = previous.metric if previous is not None else None
    low, high = metric.interval
    limit = _number(packaged.budget.get("max_drop"))
    limit = None if limit is None or limit >= UNLIMITED else limit
    comparable = before is not None and before.name == metric.name
    relative = " of the float model's" if metric.name in ERRORS else ""
    yield Gauge(
        key="metric",
        label=metric.name,
        value=metric.tflite_value,
        shown=figures.score(metric.tflite_value),
        note=f"drop {figures.signed(metric.drop)}{relative}, 95 % interval {figures.signed(low)} … {figures.signed(high)}, "
        f"{metric.samples:,} samples",
        budget=limit,
        limit=f"drop at most {limit:g}" if limit is not None else "",
        baseline=metric.float_value,
        from_float=f"float {figures.score(metric.float_value)}",
        previous=before.tflite_value if before is not None and comparable else None,
        from_previous=_since(
            before.tflite_value if before is not None and comparable else None,
            metric.tflite_value,
            lambda old, new: figures.signed(new - old),
        ),
        holds=None if limit is None else metric.drop <= limit + 1e-12,
        filled=None if not limit else max(0.0, metric.drop) / limit,
    )


def _sizes(packaged: Packaged, previous: Packaged | None) -> Iterator[Gauge]:
    if packaged.sizes is None:
        return
    for key, label, note in SIZES:
        same = packaged.sizes.flash_bytes == packaged.sizes.file_bytes
        if key == "flash_bytes" and same and packaged.budget.get("max_flash_bytes") is None:
            continue  # the same number once more says nothing
        yield _cost(key, label, note, packaged, previous, partial(_size, key))


def _update(packaged: Packaged) -> Iterator[Gauge]:
    """What devices that run the previous release fetch."""
    update, limit = packaged.continuity, _number(packaged.budget.get("max_delta_bytes"))
    if update is None:
        return
    yield Gauge(
        key="delta_bytes",
        label="Update",
        value=float(update.delta_bytes),
        shown=figures.size(update.delta_bytes),
        note=f"from {update.previous}; the whole file: {figures.size(update.full_bytes)}",
        budget=limit,
        limit=f"at most {figures.size(limit)}" if limit is not None else "",
        holds=None if limit is None else update.delta_bytes <= limit,
        filled=None if not limit else update.delta_bytes / limit,
    )


def _size(key: str, weighed: Weighed) -> float | None:
    return float(getattr(weighed.sizes, key)) if weighed.sizes is not None else None


def _latency(packaged: Packaged, previous: Packaged | None) -> Iterator[Gauge]:
    latency = packaged.latency_ms
    if latency is None or _number(latency.get("p50")) is None:
        return
    note = f"p90 {figures.milliseconds(_number(latency.get('p90')))}; {_where(packaged)}"
    yield _cost(
        "latency_ms",
        "Latency, median",
        note,
        packaged,
        previous,
        lambda item: _number((item.latency_ms or {}).get("p50")),
        shown=figures.milliseconds,
        faster=True,
    )


def _where(packaged: Packaged) -> str:
    """On what it was measured, in a few words."""
    told = (packaged.benchmark or {}).get("artifact")
    if not isinstance(told, Mapping):
        return "where is not known"
    threads = told.get("threads")
    words = [str(told.get("cpu") or "this machine"), f"{threads} thread{'' if threads == 1 else 's'}"]
    return ", ".join(words + (["unstable"] if told.get("stable") is False else []))


def _work(packaged: Packaged, previous: Packaged | None) -> Iterator[Gauge]:
    if packaged.macs is not None:
        yield _cost(
            "macs",
            "Multiply-adds",
            f"{packaged.macs:,} of one inference",
            packaged,
            previous,
            lambda item: item.macs,
            shown=figures.count,
        )


def _cost(
    key: str,
    label: str,
    note: str,
    packaged: Packaged,
    previous: Packaged | None,
    read: Callable[[Weighed], float | None],
    *,
    shown: Callable[[float | None], str] = figures.size,
    faster: bool = False,
) -> Gauge:
    value, baseline = read(packaged), read(packaged.baseline) if packaged.baseline is not None else None
    before = read(previous) if previous is not None else None
    limit = _number(packaged.budget.get(f"max_{key}"))
    return Gauge(
        key=key,
        label=label,
        value=value,
        shown=shown(value),
        note=note,
        budget=limit,
        limit=f"at most {shown(limit)}" if limit is not None else "",
        baseline=baseline,
        from_float=_against_float(baseline, value, faster),
        previous=before,
        from_previous=_since(before, value, figures.percent_change),
        holds=None if limit is None or value is None else value <= limit,
        filled=None if not limit or value is None else value / limit,
    )


def _against_float(baseline: float | None, value: float | None, faster: bool) -> str:
    compared = figures.times(baseline, value)
    if compared == figures.UNKNOWN or baseline is None:
        return ""
    if baseline == value:
        return "the same as float"
    return (_as_speed(compared) if faster else compared) + " than float"


def _since(before: float | None, value: float | None, told: Callable[[float, float], str]) -> str:
    """The change against the previous release in words; "" where one is not known."""
    if before is None or value is None:
        return ""
    return "unchanged" if before == value else told(before, value)


def _as_speed(compared: str) -> str:
    return compared.replace("smaller", "faster").replace("larger", "slower")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def headline(packaged: Sequence[Packaged]) -> str:
    """The sentence a release engineer reads first."""
    first = next((item for item in packaged if item.sizes is not None), None)
    if first is None or first.sizes is None:
        return "The build ended before it had a model."
    parts = []
    if first.baseline is not None and first.baseline.sizes is not None:
        before = first.baseline.sizes.delivered_bytes
        parts.append(
            f"{figures.size(first.sizes.delivered_bytes)} delivered, "
            f"{figures.times(before, first.sizes.delivered_bytes)} than the float model"
        )
    if first.metric is not None:
        parts.append(_loss(first.metric))
    speed = _speed(first)
    return "; ".join([*parts, speed] if speed else parts) + "."


def _loss(metric: Metric) -> str:
    lost = metric.drop
    if not lost:
        return f"it loses nothing of {metric.name}"
    if metric.name in ERRORS:
        return f"its {metric.name} is {figures.share(abs(lost))} {'larger' if lost > 0 else 'smaller'}"
    return f"it {'loses' if lost > 0 else 'gains'} {figures.score(abs(lost))} {metric.name}"


def _speed(packaged: Packaged) -> str:
    after = _number((packaged.latency_ms or {}).get("p50"))
    before = None if packaged.baseline is None else _number((packaged.baseline.latency_ms or {}).get("p50"))
    compared = figures.times(before, after)
    return "" if compared == figures.UNKNOWN else _as_speed(compared)
