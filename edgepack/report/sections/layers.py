"""The layer table, and how weights and answers of each layer lie before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.report import anatomy, figures
from edgepack.report.anatomy import Part
from edgepack.report.blocks import Block, Cell, Column, Picture, Pictures, Section, Text, cell, table
from edgepack.report.material import Material
from edgepack.report.noise import Pair, by_layer
from edgepack.report.pictures import histogram
from edgepack.tflite import Model

COLUMNS: Final = (
    Column(title="Layer"),
    Column(title="Kind"),
    Column(title="Kernel"),
    Column(title="Zeros", number=True),
    Column(title="Values", number=True),
    Column(title="Rank", number=True),
    Column(title="Bits", number=True),
    Column(title="Bytes", number=True),
    Column(title="Multiply-adds", number=True),
    Column(title="Predicted", number=True),
    Column(title="Signal to noise", number=True),
    Column(title="Why left alone", prose=True),
)
MOST_PICTURES: Final = 8


def section(material: Material, parts: Sequence[Part], pairs: Sequence[Pair]) -> Section | str:
    """The section, or why there is none."""
    if not parts:
        return "layers: the build wrote no model; build with --keep-failed to look into it"
    noise = by_layer(pairs)
    found = anatomy.latency_table(material.packaged)
    lead = "As they lie in the shipped .tflite. A heading sorts the table."
    if any(part.predicted_ms is not None for part in parts) and found is not None:
        lead += (
            f" Times are predicted from the table of measured ops “{found[0]}”, not measured on this model."
        )
    if noise:
        lead += " Signal to noise compares a layer's answers with the float model's on the same samples."
    blocks: list[Block] = [
        table("Weighted layers", COLUMNS, [_row(part, noise) for part in parts]),
        *_histograms(material, parts, pairs),
    ]
    return Section(id="layers", title="Layers", lead=lead, blocks=tuple(blocks))


def _row(part: Part, noise: Mapping[str, Pair]) -> list[Cell]:
    pair = noise.get(part.origin or part.layer)
    sqnr = pair.sqnr_db if pair is not None and pair.after == part.output else None
    return [
        cell(part.layer + (f" (of {part.origin})" if part.origin else "")),
        cell(part.kind),
        cell("×".join(map(str, part.shape)), float(np.prod(part.shape, dtype=np.float64))),
        cell(figures.share(part.sparsity), _sorted(part.sparsity)),
        cell(figures.count(part.distinct), _sorted(part.distinct)),
        cell(figures.count(part.rank), _sorted(part.rank)),
        cell(part.bits if part.bits is not None else figures.UNKNOWN),
        cell(f"{part.size_bytes:,}", part.size_bytes),
        cell(f"{part.macs:,}", part.macs),
        cell(figures.milliseconds(part.predicted_ms), _sorted(part.predicted_ms)),
        cell(f"{sqnr:.1f} dB" if sqnr is not None else figures.UNKNOWN, _sorted(sqnr)),
        cell("; ".join(part.reasons)),
    ]


def _sorted(value: float | None) -> float | str:
    return "" if value is None else value


def _histograms(material: Material, parts: Sequence[Part], pairs: Sequence[Pair]) -> list[Block]:
    weights = [picture for picture in (_weights(material, part) for part in _largest(parts)) if picture]
    worst = sorted(
        (pair for pair in pairs if pair.before_counts and pair.after_counts),
        key=lambda pair: pair.sqnr_db if pair.sqnr_db is not None else np.inf,
    )[:MOST_PICTURES]
    blocks: list[Block] = []
    if weights:
        blocks += [
            *_weights_told(material),
            Pictures(pictures=tuple(weights), small=True),
        ]
    if worst:
        blocks += [
            Text(kind="heading", text="Answers of layers before and after"),
            Text(text="Grey: the float model. Blue: as shipped. The layers with the least signal to noise."),
            Pictures(pictures=tuple(_answers(pair) for pair in worst), small=True),
        ]
    return blocks


def _weights_told(material: Material) -> tuple[Block, Block]:
    if material.baseline is None:
        return Text(kind="heading", text="Weights"), Text(
            text="As shipped, in real values. The largest layers."
        )
    return (
        Text(kind="heading", text="Weights before and after"),
        Text(text="Grey: the float model. Blue: as shipped, in real values. The largest layers."),
    )


def _largest(parts: Sequence[Part]) -> list[Part]:
    chosen = sorted(parts, key=lambda part: -part.size_bytes)[:MOST_PICTURES]
    return [part for part in parts if part in chosen]


def _weights(material: Material, part: Part) -> Picture | None:
    if material.shipped is None or not part.kernels:
        return None
    after = _values(material.shipped.model, part.kernels)
    before = np.zeros(0)
    if material.baseline is not None and not part.origin:
        before = _values(material.baseline.model, part.baseline_kernels)
    every = np.concatenate([before, after])
    if not every.size or not np.isfinite(every).all() or every.min() == every.max():
        return None
    low, high = float(every.min()), float(every.max())
    shares = [
        np.histogram(values, bins=40, range=(low, high))[0] / max(1, values.size)
        for values in (before, after)
    ]
    caption = f"{part.layer}: {after.size:,} weights"
    return Picture(
        caption=caption,
        description=histogram.overlaid(
            shares[0].tolist() if before.size else (),
            shares[1].tolist(),
            low=low,
            high=high,
            unit="weight",
        ),
        name=f"Histogram of weights, {caption}",
    )


def _values(model: Model, tensors: Sequence[int]) -> npt.NDArray[Any]:
    known = [model.main.tensors[index] for index in tensors if 0 <= index < len(model.main.tensors)]
    arrays = [array.reshape(-1) for array in map(model.real, known) if array is not None]
    return np.concatenate(arrays) if arrays else np.zeros(0)


def _answers(pair: Pair) -> Picture:
    told = f"{pair.sqnr_db:.1f} dB" if pair.sqnr_db is not None else "no noise"
    caption = f"{pair.layer}: {told}"
    return Picture(
        caption=caption,
        description=histogram.overlaid(
            pair.before_counts, pair.after_counts, low=pair.low, high=pair.high, unit="value"
        ),
        name=f"Histogram of answers, {caption}",
    )
