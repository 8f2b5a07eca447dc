"""Float outputs of a candidate (or a SavedModel) over a dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.backend import session
from edgepack.data import Dataset
from edgepack.records import Json

Report = Callable[[str, float | None], None]


def predict(
    *,
    source: str,
    dataset: Mapping[str, Any],
    target: str,
    report: Report,
    batch_size: int = 256,
    traced: bool = True,
) -> dict[str, Json]:
    """Runs a model over all samples and writes its outputs.

    Args:
      source: a candidate or model file, or a SavedModel folder.
      dataset: ``Dataset.to_json()``.
      target: .npz to write, one float32 array [N, …] a Keras output name.
      batch_size: samples at once.
      traced: whether the model becomes a graph first, which takes longer than one batch of most models.

    Returns:
      ``{"count": N, "outputs": [names]}``.

    Raises:
      DataError: the dataset does not have the model's inputs.
      StorageError: `target` cannot be written.
    """
    samples = Dataset.from_json(dataset)
    run, names, outputs = _runner(Path(source), traced=traced)
    missing = sorted(set(names) - set(samples.inputs))
    if missing:
        raise errors.DataError(
            f"the data has no array for model input {missing[0]!r} (it has {', '.join(sorted(samples.inputs))}); "
            "map it under inputs = { … } of the data table"
        )
    found: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in outputs}
    done = 0
    for batch in samples.batches(batch_size):
        for name, value in run([batch[name] for name in names]).items():
            found[name].append(np.asarray(value, np.float32))
        done += len(batch[names[0]])
        report(f"float model on {done:,} of {samples.count:,} samples", done / max(1, samples.count))
    arrays = {name: np.concatenate(parts) for name, parts in found.items()}
    _write(Path(target), arrays)
    return {"count": samples.count, "outputs": list(outputs)}


Runner = Callable[[list[npt.NDArray[Any]]], dict[str, Any]]


def _runner(source: Path, *, traced: bool) -> tuple[Runner, list[str], list[str]]:
    """A function from input arrays (in the order of the names) to outputs by name."""
    import tensorflow as tf

    if source.is_dir() and (source / "saved_model.pb").exists():
        return _saved_model_runner(source)
    from edgepack.backend import rebuild

    model = rebuild.load(source)
    outputs = list(model.output_names)
    specs = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]

    def call(values: Any) -> dict[str, Any]:
        results = model(values if len(values) > 1 else values[0], training=False)
        return dict(zip(outputs, tf.nest.flatten(results), strict=True))

    compute = session.graph_function(call, input_signature=[specs]) if traced else call
    dtypes = [spec.dtype for spec in specs]

    def run(values: list[npt.NDArray[Any]]) -> dict[str, Any]:
        return compute([tf.cast(value, dtype) for value, dtype in zip(values, dtypes, strict=True)])

    return run, list(model.input_names), outputs


def _saved_model_runner(source: Path) -> tuple[Runner, list[str], list[str]]:
    from edgepack.backend.saved_model import Served

    served = Served(source)
    return served.run, [spec.name for spec in served.inputs], [spec.name for spec in served.outputs]


def _write(target: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    temporary = target.with_name(f".{target.name}.part")
    try:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise errors.StorageError(f"{target}: cannot be written: {error.strerror or error}") from error
