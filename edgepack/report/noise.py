"""What each layer's answers lost and how its numbers lie: the float and the shipped model run on the same samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.report.anatomy import Part, reading
from edgepack.report.evidence import as_dataset
from edgepack.report.material import File, Material
from edgepack.runtime import tensors
from edgepack.tflite.noise import QUIETEST

SAMPLES: Final = 64
Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One layer in both models.

    Attributes:
      before, after: its output's tensor in the float and in the shipped file.
      sqnr_db: signal over noise of what it answers; None where both are the same, or cannot be compared.
      low, high: range of the histograms, in real values.
      before_counts, after_counts: histograms over equal bins, as shares.
    """

    layer: str
    before: int
    after: int
    sqnr_db: float | None = None
    low: float = 0.0
    high: float = 0.0
    before_counts: tuple[float, ...] = ()
    after_counts: tuple[float, ...] = ()


def pairs(material: Material, found: Sequence[Part]) -> list[Pair] | str:
    """Layers whose output is in both files, noise and histograms measured; or why there are none."""
    shipped, baseline, evidence = material.shipped, material.baseline, material.evidence
    if shipped is None or baseline is None or evidence is None or not len(evidence.rows):
        return f"noise and answers of layers: {material.without_evidence}"
    both = _both(found, baseline)
    if not both:
        return "noise and answers of layers: no layer's output was found in both files"
    inputs = {name: values[:SAMPLES] for name, values in evidence.inputs.items()}
    dataset = as_dataset(inputs, evidence.preprocess, material.folder)
    try:
        noise = tensors.compare(
            baseline.path, shipped.path, dataset, [(pair.before, pair.after) for pair in both]
        )
        before = tensors.observe(baseline.path, dataset, [pair.before for pair in both], material.folder)
        after = tensors.observe(shipped.path, dataset, [pair.after for pair in both], material.folder)
    except errors.EdgepackError as error:  # such as a batch that is not 1
        return f"noise and answers of layers: {error}"
    return [
        _measured(
            pair, ratio.ratio if ratio.signal else None, before[pair.before], after[pair.after], shipped
        )
        for pair, ratio in zip(both, noise, strict=True)
    ]


def _both(found: Sequence[Part], baseline: File) -> list[Pair]:
    """The last factor of a layer answers what the layer answered."""
    last: dict[str, Part] = {}
    for part in found:
        if part.output is not None and part.baseline_kernels:
            last[part.origin or part.layer] = part
    both = []
    for layer, part in last.items():
        ops = reading(baseline.model, part.baseline_kernels)
        if ops and baseline.model.main.ops[ops[-1]].outputs and part.output is not None:
            before = baseline.model.main.ops[ops[-1]].outputs[0]
            both.append(Pair(layer=layer, before=before, after=part.output))
    return both


def _measured(
    pair: Pair, ratio: float | None, before: tensors.Observed, after: tensors.Observed, shipped: File
) -> Pair:
    quantization = shipped.model.main.tensors[pair.after].quantization
    scale, zero = (
        (float(quantization.scale[0]), float(quantization.zero_point[0]))
        if quantization is not None
        else (1.0, 0.0)
    )
    after_low, after_high = (after.low - zero) * scale, (after.high - zero) * scale
    low, high = min(before.low, after_low), max(before.high, after_high)
    known = ratio is not None and QUIETEST < ratio < float("inf")
    return Pair(
        layer=pair.layer,
        before=pair.before,
        after=pair.after,
        sqnr_db=float(-10 * np.log10(ratio)) if known and ratio is not None else None,
        low=low,
        high=high,
        before_counts=_rebinned(before.histogram, before.low, before.high, low, high),
        after_counts=_rebinned(after.histogram, after_low, after_high, low, high),
    )


BINS: Final = 40


def _rebinned(counts: Array, own_low: float, own_high: float, low: float, high: float) -> tuple[float, ...]:
    """Counts over another range, as shares of all."""
    if not counts.sum() or high <= low:
        return ()
    middles = own_low + (np.arange(len(counts)) + 0.5) * (own_high - own_low) / len(counts)
    found, _ = np.histogram(middles, bins=BINS, range=(low, high), weights=counts)
    return tuple(float(value) for value in found / counts.sum())


def by_layer(found: Sequence[Pair]) -> Mapping[str, Pair]:
    """Pairs by the layer of the source model."""
    return {pair.layer: pair for pair in found}
