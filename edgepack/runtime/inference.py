"""The child's loop over samples: integers in, invoke, integers out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.runtime import quantization
from edgepack.runtime.interpreter import Loaded, Port

Arrays = dict[str, npt.NDArray[Any]]
Report = Callable[[float], None]
"""Told how much is done, 0 … 1, after every invoke."""


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
        return quantization.quantize(values, scale=port.scale, zero_point=port.zero_point, dtype=port.dtype)
    if np.issubdtype(np.dtype(port.dtype), np.floating):
        return values.astype(port.dtype)
    cast = values.astype(port.dtype)
    if not np.array_equal(cast, values):
        raise errors.DataError(
            f"input {name!r} takes {port.dtype} ids; the data have values that do not fit exactly"
        )
    return cast


def invoke_all(
    loaded: Loaded, chunks: Iterator[Arrays], count: int, model: str, report: Report = lambda fraction: None
) -> Arrays:
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
                rows = _rows(handle.get_tensor(port.index), port, batch, model)
                if port.name not in results:
                    results[port.name] = np.empty((count, *rows.shape[1:]), rows.dtype)
                if rows.shape[1:] != results[port.name].shape[1:]:
                    raise errors.ModelError(
                        f"{model}: output {port.name!r} changes shape to {rows.shape[1:]} at sample {done}"
                    )
                results[port.name][done : done + took] = rows[:took]
            done += took
            report(done / count)
    return results


def _rows(found: npt.NDArray[Any], port: Port, batch: int, model: str) -> npt.NDArray[Any]:
    """One row per sample: an output that has lost its batch axis is one row of a batch of one."""
    if found.ndim and found.shape[0] == batch:
        return found
    if batch == 1:
        return found[np.newaxis]
    raise errors.ModelError(
        f"{model}: output {port.name!r} has the shape {found.shape}, which is not one row for each of "
        f"{batch} samples"
    )


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
