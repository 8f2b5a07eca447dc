"""What every row is judged by, whoever made its file: one code for the metric, the sizes, the work and the time."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import benchmark, errors, runtime, tflite
from edgepack.numerics.statistics import paired_interval
from edgepack.records import file_sha256
from tests.benchmarks.scoreboard.material import Material
from tests.benchmarks.scoreboard.process import RowFailed
from tests.benchmarks.scoreboard.row import Found, Made

Array = npt.NDArray[Any]
ROUNDS: Final = 8


@dataclass(frozen=True, kw_only=True)
class References:
    """What a case's rows are compared with, as far as it exists.

    Attributes:
      original, ptq: answers [samples, …] of the float original and of the bare converter's int8.
    """

    original: Array | None = None
    ptq: Array | None = None


def answers(material: Material, made: Made, folder: Path) -> Array:
    """Outputs [samples, …] that the metric looks at.

    Raises:
      RowFailed: several outputs, and the recipe's metric does not say which.
      EdgepackError: the interpreter refuses the file.
    """
    path = made.answers
    if path is None:
        path = runtime.predict(made.tflite, material.evaluation, folder / "answers.npz").path
    with np.load(path) as found:
        wanted = material.recipe.metric.output
        names = [wanted] if wanted in found.files else found.files
        if len(names) != 1:
            raise RowFailed(f"{len(names)} outputs; [metric] output must say which is judged")
        return np.asarray(found[names[0]])


def scored(row: Found, material: Material, made: Made, found: Array, references: References) -> Found:
    """A row with its metric, its drops and what its file weighs."""
    metric, labels = material.metric, material.labels
    row = replace(
        row,
        value=metric.value(found, labels),
        sizes={name.removesuffix("_bytes"): size for name, size in asdict(tflite.sizes(made.tflite)).items()},
        macs=tflite.macs(tflite.read(made.tflite)),
        sha256=file_sha256(made.tflite),
        seconds=made.seconds,
        peak_rss_bytes=made.peak_rss_bytes,
        told=made.told,
    )
    if references.original is not None:
        drop, interval = compared(material, references.original, found)
        row = replace(row, drop=drop, interval=interval)
    if references.ptq is not None:
        drop, interval = compared(material, references.ptq, found)
        row = replace(row, ptq_drop=drop, ptq_interval=interval)
    return row


def compared(material: Material, before: Array, after: Array) -> tuple[float, tuple[float, float]]:
    """How far the metric fell between two models on the same samples, with its paired 95 % interval."""
    metric, labels = material.metric, material.labels
    drop = metric.drop(metric.value(before, labels), metric.value(after, labels))
    return drop, paired_interval(metric, before, after, labels)


def timed(row: Found, file: Path, clock: Path, clock_name: str, *, seconds: float) -> Found:
    """A row with its latency: both files in turns in one process, one thread."""
    try:
        took = benchmark.compare(file, clock, seconds=seconds, rounds=ROUNDS)
    except errors.EdgepackError as error:
        return replace(row, latency={"failure": str(error)})
    latency = {
        "ratio": took.ratio,
        "low": took.low,
        "high": took.high,
        "p50_ms": took.a_ms.p50,
        "reference": clock_name,
        "reference_p50_ms": took.b_ms.p50,
        "busy": any("busy" in warning for warning in took.warnings),
    }
    return replace(row, latency=latency)
