"""Child side of `tensors`: what the tensors inside a model hold while samples pass through it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.data.dataset import Dataset
from edgepack.runtime.arrays import save_npz
from edgepack.runtime.inference import Report, stored
from edgepack.runtime.interpreter import Loaded, load

Array = npt.NDArray[Any]
BINS = 2048
LOOKED_AT = 1 << 16
"""Most values of one tensor of one sample that enter a histogram, evenly spread; minima and maxima see all."""


def observe_here(
    *,
    runtime: str,
    model: str,
    dataset: dict[str, Any],
    tensors: list[int],
    floors: dict[str, float],
    target: str,
    report: Report,
) -> dict[str, Any]:
    """Child side of `tensors.observe`: two passes, ends of the ranges first."""
    data = Dataset.from_json(dataset)
    loaded = _loaded(model, runtime, data)
    spans = {index: _Span() for index in tensors}
    for done, _ in enumerate(_invoked([loaded], data, floors)):
        for index, span in spans.items():
            span.widen(loaded.handle.get_tensor(index))
        report(done / (2 * data.count))
    for done, _ in enumerate(_invoked([loaded], data, floors)):
        for index, span in spans.items():
            span.count(loaded.handle.get_tensor(index))
        report(0.5 + done / (2 * data.count))
    save_npz(
        Path(target),
        {f"{index}/{what}": array for index, span in spans.items() for what, array in span.arrays().items()},
    )
    return {}


class _Span:
    """Range, histogram and channel statistics of one tensor."""

    def __init__(self) -> None:
        self.low, self.high = np.inf, -np.inf
        self.histogram = np.zeros(BINS, np.int64)
        self.channels: tuple[Array, Array] | None = None
        self.sums: Array | float = 0.0
        self.squares: Array | float = 0.0
        self.rows = 0

    def widen(self, values: Array) -> None:
        values = np.asarray(values, np.float64)
        if not values.size:
            return
        rows = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
        low, high = rows.min(axis=0), rows.max(axis=0)
        if self.channels is not None and self.channels[0].shape == low.shape:
            low, high = np.minimum(low, self.channels[0]), np.maximum(high, self.channels[1])
        self.channels = (low, high)
        self.low, self.high = min(self.low, float(low.min())), max(self.high, float(high.max()))
        self.sums = self.sums + rows.sum(axis=0)
        self.squares = self.squares + (rows**2).sum(axis=0)
        self.rows += len(rows)

    def count(self, values: Array) -> None:
        flat = np.asarray(values, np.float64).reshape(-1)
        flat = flat[:: max(1, -(-flat.size // LOOKED_AT))]
        if not flat.size or not np.isfinite([self.low, self.high]).all() or self.high <= self.low:
            return
        bins = ((flat - self.low) * (BINS / (self.high - self.low))).astype(np.int64)
        self.histogram += np.bincount(np.clip(bins, 0, BINS - 1), minlength=BINS)

    def arrays(self) -> dict[str, Array]:
        low, high = self.channels if self.channels is not None else (np.zeros(0), np.zeros(0))
        return {
            "histogram": self.histogram,
            "channel_low": low,
            "channel_high": high,
            "channel_mean": np.asarray(self.sums / max(1, self.rows)).reshape(-1),
            "channel_square": np.asarray(self.squares / max(1, self.rows)).reshape(-1),
        }


def compare_here(
    *,
    runtime: str,
    reference: str,
    model: str,
    dataset: dict[str, Any],
    pairs: list[list[int]],
    floors: dict[str, float],
    report: Report,
) -> dict[str, Any]:
    """Child side of `tensors.compare`: both models see each sample before the next one."""
    data = Dataset.from_json(dataset)
    both = [_loaded(path, runtime, data) for path in (reference, model)]
    details = {detail["index"]: detail for detail in both[1].handle.get_tensor_details()}
    signal, noise = np.zeros(len(pairs)), np.zeros(len(pairs))
    for done, _ in enumerate(_invoked(both, data, floors)):
        for number, (first, second) in enumerate(pairs):
            wanted = np.asarray(both[0].handle.get_tensor(first), np.float64)
            found = _real(both[1].handle.get_tensor(second), details[second])
            if wanted.shape == found.shape:
                signal[number] += float(np.sum(wanted**2))
                noise[number] += float(np.sum((found - wanted) ** 2))
        report(done / data.count)
    return {"signal": signal.tolist(), "noise": noise.tolist()}


def _real(values: Array, detail: Mapping[str, Any]) -> Array:
    scale, zero_point = detail["quantization"]
    array = np.asarray(values, np.float64)
    return (array - zero_point) * scale if scale else array


def _loaded(model: str, runtime: str, data: Dataset) -> Loaded:
    samples = {name: tuple(array.shape[1:]) for name, array in data.rows(0, 1).items()}
    loaded = load(
        Path(model), runtime=runtime, kernels="default", threads=1, samples=samples, every_tensor=True
    )
    wide = [name for name, port in loaded.inputs.items() if port.shape[:1] != (1,)]
    if wide:
        raise errors.ModelError(f"{model}: looking inside needs a batch of 1; input {wide[0]!r} has another")
    return loaded


def _invoked(models: list[Loaded], data: Dataset, floors: Mapping[str, float]) -> Iterator[None]:
    """Each sample through every model; the tensors can be read after each step."""
    for batch in data.batches(1):
        for loaded in models:
            for name, port in loaded.inputs.items():
                values = np.maximum(batch[name], floors[name]) if name in floors else batch[name]
                loaded.handle.set_tensor(port.index, stored(values, port, name))
            loaded.handle.reset_all_variables()
            try:
                loaded.handle.invoke()
            except (ValueError, RuntimeError) as error:
                raise errors.ModelError(f"the interpreter refused to run: {error}") from error
        yield
