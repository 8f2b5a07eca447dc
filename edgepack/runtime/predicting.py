"""Child side of `prediction`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from edgepack import errors
from edgepack.data.dataset import Dataset
from edgepack.runtime import quantization
from edgepack.runtime.arrays import save_npz
from edgepack.runtime.inference import Arrays, Report, invoke_all, stored
from edgepack.runtime.interpreter import Loaded, Port, load

RAW_PREFIX = "raw:"
CHUNK_BYTES = 1 << 25


def predict_here(
    *,
    runtime: str,
    model: str,
    dataset: dict[str, Any],
    target: str,
    kernels: str,
    threads: int,
    limit: int | None,
    raw: bool,
    sha256: str | None,
    report: Report,
) -> dict[str, Any]:
    """Child side of `prediction.predict`."""
    started = time.perf_counter()
    data = Dataset.from_json(dataset)
    count = data.count if limit is None else min(limit, data.count)
    if count < 1:
        raise errors.DataError(f"{model}: nothing to predict: the dataset is empty or limit is {limit}")
    samples = {name: tuple(array.shape[1:]) for name, array in data.rows(0, 1).items()}
    loaded = load(
        Path(model), runtime=runtime, kernels=kernels, threads=threads, sha256=sha256, samples=samples
    )
    rows = max(1, CHUNK_BYTES // sum(8 * int(np.prod(shape)) + 8 for shape in samples.values()))
    chunks = (
        {name: stored(array, loaded.inputs[name], name) for name, array in batch.items()}
        for batch in data.batches(rows, limit=limit)
    )
    outputs = invoke_all(loaded, chunks, count, model, report)
    save_npz(Path(target), _readable(loaded, outputs, raw=raw))
    return {
        "samples": count,
        "inputs": [_spec_json(port, name) for name, port in loaded.inputs.items()],
        "outputs": [_spec_json(port, port.name) for port in loaded.outputs],
        "seconds": time.perf_counter() - started,
    }


def _readable(loaded: Loaded, outputs: Arrays, *, raw: bool) -> Arrays:
    arrays: Arrays = {}
    for port in loaded.outputs:
        found = outputs[port.name]
        if port.is_quantized:
            arrays[port.name] = quantization.dequantize(found, scale=port.scale, zero_point=port.zero_point)
        else:
            arrays[port.name] = found.astype(np.float32)
        if raw:
            arrays[RAW_PREFIX + port.name] = found
    return arrays


def _spec_json(port: Port, name: str) -> dict[str, Any]:
    quantized = port.is_quantized
    return {
        "name": name,
        "shape": [None if axis_free else size for size, axis_free in zip(port.shape, port.free, strict=True)],
        "dtype": port.dtype,
        "scale": port.scale if quantized else None,
        "zero_point": port.zero_point if quantized else None,
    }
