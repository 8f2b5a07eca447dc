"""The child's loop over samples: integers in, invoke, integers out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.data.dataset import Dataset
from edgepack.runtime import affine
from edgepack.runtime.arrays import save_npz
from edgepack.runtime.interpreter import Loaded, Port, load

RAW_PREFIX = "raw:"
CHUNK_BYTES = 1 << 25

Arrays = dict[str, npt.NDArray[Any]]


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
    outputs = _invoke_all(loaded, chunks, count, model)
    save_npz(Path(target), _readable(loaded, outputs, raw=raw))
    return {
        "samples": count,
        "inputs": [_spec_json(port, name) for name, port in loaded.inputs.items()],
        "outputs": [_spec_json(port, port.name) for port in loaded.outputs],
        "seconds": time.perf_counter() - started,
    }


def golden_here(
    *, runtime: str, model: str, vectors: str, target: str, kernels: str, threads: int, sha256: str | None
) -> dict[str, Any]:
    """Child side of `prediction.run_golden`."""
    with np.load(vectors, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    samples = {name: tuple(array.shape[1:]) for name, array in arrays.items()}
    loaded = load(
        Path(model), runtime=runtime, kernels=kernels, threads=threads, sha256=sha256, samples=samples
    )
    for name, port in loaded.inputs.items():
        if arrays[name].dtype.name != port.dtype:
            raise errors.ModelError(
                f"{model}: input {name!r} takes {port.dtype}, the vectors have {arrays[name].dtype.name}"
            )
    count = len(next(iter(arrays.values())))
    save_npz(Path(target), _invoke_all(loaded, iter([arrays]), count, model))
    return {"samples": count}


def stored(values: npt.NDArray[Any], port: Port, name: str) -> npt.NDArray[Any]:
    """Values as the input tensor stores them.

    Raises:
      DataError: NaN or infinity for a quantized input, or ids that are not whole numbers in range.
    """
    if port.is_quantized:
        if not np.isfinite(values).all():
            raise errors.DataError(
                f"input {name!r} has NaN or infinite values; a quantized input cannot take them"
            )
        return affine.quantize(values, scale=port.scale, zero_point=port.zero_point, dtype=port.dtype)
    if np.issubdtype(np.dtype(port.dtype), np.floating):
        return values.astype(port.dtype)
    cast = values.astype(port.dtype)
    if not np.array_equal(cast, values):
        raise errors.DataError(
            f"input {name!r} takes {port.dtype} ids; the data have values that do not fit exactly"
        )
    return cast


def _invoke_all(loaded: Loaded, chunks: Iterator[Arrays], count: int, model: str) -> Arrays:
    """Invokes once per batch of the model's own size and gathers outputs as stored, [count, …]."""
    batch = _batch(loaded, model)
    handle, feeds = loaded.handle, [(name, port.index) for name, port in loaded.inputs.items()]
    results: Arrays = {}
    done = 0
    for chunk in chunks:
        length = len(next(iter(chunk.values())))
        for start in range(0, length, batch):
            took = min(batch, length - start)
            for name, index in feeds:
                handle.set_tensor(index, _padded(chunk[name][start : start + took], batch))
            # Fused RNNs keep their state from one invoke to the next. Costs 0.6 µs where there is none.
            handle.reset_all_variables()
            try:
                handle.invoke()
            except (ValueError, RuntimeError) as error:
                raise errors.ModelError(
                    f"{model}: sample {done}: the interpreter refused to run: {error}"
                ) from error
            for port in loaded.outputs:
                found = handle.get_tensor(port.index)
                rows = found if found.ndim and found.shape[0] == batch else found[np.newaxis]
                if port.name not in results:
                    results[port.name] = np.empty((count, *rows.shape[1:]), rows.dtype)
                if rows.shape[1:] != results[port.name].shape[1:]:
                    raise errors.ModelError(
                        f"{model}: output {port.name!r} changes shape to {rows.shape[1:]} at sample {done}"
                    )
                results[port.name][done : done + took] = rows[:took]
            done += took
    return results


def _batch(loaded: Loaded, model: str) -> int:
    sizes = {port.shape[0] if port.shape else 0 for port in loaded.inputs.values()}
    if len(sizes) != 1 or 0 in sizes:
        raise errors.ModelError(
            f"{model}: its inputs have no common batch axis; their first sizes are {sorted(sizes)}"
        )
    return sizes.pop()


def _padded(rows: npt.NDArray[Any], batch: int) -> npt.NDArray[Any]:
    """Rows up to the model's batch; the last one repeated where the data end early."""
    if len(rows) == batch:
        return rows
    return np.concatenate([rows, np.repeat(rows[-1:], batch - len(rows), axis=0)])


def _readable(loaded: Loaded, outputs: Arrays, *, raw: bool) -> Arrays:
    arrays: Arrays = {}
    for port in loaded.outputs:
        found = outputs[port.name]
        if port.is_quantized:
            arrays[port.name] = affine.dequantize(found, scale=port.scale, zero_point=port.zero_point)
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
