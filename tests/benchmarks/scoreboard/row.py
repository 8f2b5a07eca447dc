"""One line of the scoreboard: a way of making a .tflite, and what was found of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.scoreboard.material import Material


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a row's maker hands over.

    Attributes:
      tflite: the file.
      seconds: wall time of the command that compressed, its start-up included; None where nothing was compressed.
      peak_rss_bytes: of that command's process tree.
      answers: where the metric is not the .tflite's but that of these outputs (the float original's), an .npz.
      told: what else is worth keeping.
    """

    tflite: Path
    seconds: float | None = None
    peak_rss_bytes: int | None = None
    answers: Path | None = None
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row before it is run.

    Attributes:
      name: unique in its case, such as "cluster-obs-16".
      method: the line of the plot that it belongs to.
      owner: "peer" or "edgepack".
      make: makes the .tflite in an empty folder; raises `RowFailed` or an EdgepackError where it cannot.
    """

    name: str
    method: str
    owner: str
    make: Callable[[Material, Path], Made]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A row that was run.

    Attributes:
      failure: why there are no numbers; None where there are.
      value: the metric.
      drop, interval: below the float original, paired 95 %.
      ptq_drop, ptq_interval: below the bare converter's int8, likewise (point 6); None where there is none.
      sizes: "file", "delivered", "flash" bytes.
      macs: multiply-adds of one inference.
      latency: "ratio", "low", "high" of p50 to plain int8, "busy" where others loaded the machine, "reference".
      seconds, peak_rss_bytes, told: as `Made`.
      load: average of the machine before the row began.
    """

    case: str
    row: str
    method: str
    owner: str
    failure: str | None = None
    value: float | None = None
    drop: float | None = None
    interval: tuple[float, float] | None = None
    ptq_drop: float | None = None
    ptq_interval: tuple[float, float] | None = None
    sizes: Mapping[str, int] | None = None
    macs: int | None = None
    latency: Mapping[str, Any] | None = None
    seconds: float | None = None
    peak_rss_bytes: int | None = None
    sha256: str | None = None
    told: Mapping[str, Any] = field(default_factory=dict)
    load: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
