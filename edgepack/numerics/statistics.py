"""How sure a measured drop is, and how far two models' answers lie apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.numerics import labelling
from edgepack.numerics.metrics import Metric

Array = npt.NDArray[Any]

DRAWS: Final = 6_000_000
"""Samples drawn in all for built-in metrics: about half a second."""
MOST_RESAMPLES: Final = 2_000
FEWEST_RESAMPLES: Final = 200
USER_RESAMPLES: Final = 200
"""A user's function is called twice per resample, so there are fewer; not timed, to stay deterministic."""
BLOCK_WEIGHTS: Final = 2_000_000


def paired_interval(
    metric: Metric,
    float_outputs: Array,
    tflite_outputs: Array,
    labels: Array | None,
    *,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int | None = None,
) -> tuple[float, float]:
    """Confidence interval of `metric.drop` between two models on the same samples, by paired bootstrap.

    Both models are scored on each redrawn set of samples, so that what is hard for both cancels out. Whole
    samples are redrawn (all time steps of one together). Percentile interval; draws in which the metric is
    undefined (no positive among them) are left out.

    Args:
      metric: what is compared.
      float_outputs, tflite_outputs: [N, …] of the two models.
      labels: as in `Metric.value`; not needed for agreement.
      confidence: share of draws inside, 0 … 1.
      seed: of the draws; same seed, same interval.
      resamples: draws; by default 2,000, fewer above 3,000 samples.

    Returns:
      (low, high) of the drop; positive is worse.

    Raises:
      DataError: as `Metric.value`.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    Example:
      >>> right = np.eye(2, dtype=np.float32)[np.array([0, 1] * 50)]
      >>> paired_interval(Metric(name="top1"), right, right, np.array([0, 1] * 50))
      (0.0, 0.0)
    """
    if metric.name == "agreement":
        labels = float_outputs
    if not 0.0 < confidence < 1.0:
        raise errors.DataError(f"confidence is {confidence}; expected between 0 and 1")
    generator = np.random.Generator(np.random.PCG64(seed))
    if metric.function is not None:
        drops = _user_drops(
            metric, float_outputs, tflite_outputs, labels, generator, resamples or USER_RESAMPLES
        )
    else:
        before, after = metric.tally(float_outputs, labels), metric.tally(tflite_outputs, labels)
        count = resamples or int(np.clip(DRAWS // before.samples, FEWEST_RESAMPLES, MOST_RESAMPLES))
        drops = np.concatenate(
            [
                metric.drops(before.weighted(weights), after.weighted(weights))
                for weights in _multiplicities(generator, before.samples, count)
            ]
        )
    drops = drops[np.isfinite(drops)]
    if not len(drops):
        raise errors.DataError(f"metric {metric.name!r}: too few samples to estimate an interval")
    low, high = np.quantile(drops, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return float(low), float(high)


def _multiplicities(
    generator: np.random.Generator, samples: int, resamples: int
) -> Iterator[npt.NDArray[np.float64]]:
    """How often each sample was drawn, [some resamples, N] at a time."""
    block = max(1, BLOCK_WEIGHTS // samples)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = generator.integers(0, samples, (rows, samples)) + samples * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * samples).reshape(rows, samples).astype(np.float64)


def _user_drops(
    metric: Metric,
    float_outputs: Array,
    tflite_outputs: Array,
    labels: Array | None,
    generator: np.random.Generator,
    resamples: int,
) -> npt.NDArray[np.float64]:
    metric.value(float_outputs, labels)  # says what is wrong with the whole before any part is drawn
    assert labels is not None
    drops = np.full(resamples, np.nan)
    for index in range(resamples):
        rows = generator.integers(0, len(labels), len(labels))
        try:
            before = metric.value(float_outputs[rows], labels[rows])
            after = metric.value(tflite_outputs[rows], labels[rows])
        except errors.DataError:
            continue  # undefined on this draw, such as one class only
        drops[index] = metric.drop(before, after)
    return drops


@dataclass(frozen=True, kw_only=True)
class OutputError:
    """How far one output of the .tflite lies from the float model's, over all samples.

    Attributes:
      max_abs, mean_abs, rms: of the difference, in the output's own unit.
      sqnr_db: power of the float output over power of the difference; None where there is no difference.
    """

    max_abs: float
    mean_abs: float
    rms: float
    sqnr_db: float | None


def output_error(float_outputs: Array, tflite_outputs: Array) -> OutputError:
    """Error summary of one output, any equal shapes.

    Example:
      >>> output_error(np.array([3.0, 4.0]), np.array([3.0, 4.5]))
      OutputError(max_abs=0.5, mean_abs=0.25, rms=0.3535533905932738, sqnr_db=20.0)
    """
    if float_outputs.shape != tflite_outputs.shape:
        raise errors.DataError(
            f"outputs of shapes {float_outputs.shape} and {tflite_outputs.shape} cannot be compared"
        )
    signal = float_outputs.astype(np.float64)
    noise = tflite_outputs.astype(np.float64) - signal
    if not noise.size:
        raise errors.DataError("there are no outputs to compare")
    power, noise_power = float(np.mean(signal**2)), float(np.mean(noise**2))
    sqnr_db = None if noise_power == 0.0 or power == 0.0 else float(10.0 * np.log10(power / noise_power))
    absolute = np.abs(noise)
    return OutputError(
        max_abs=float(absolute.max()), mean_abs=float(absolute.mean()), rms=noise_power**0.5, sqnr_db=sqnr_db
    )


def agreement(float_outputs: Array, tflite_outputs: Array) -> float:
    """Share of decisions (argmax, or above 0.5 for a single output) that both models take alike, 0 … 1.

    Example:
      >>> agreement(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[0.8, 0.2], [0.5, 0.5]]))
      0.5
    """
    return float(labelling.same_decision(float_outputs, tflite_outputs).mean())
