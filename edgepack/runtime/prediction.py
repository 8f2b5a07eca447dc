"""Outputs of a .tflite over a dataset, asked for in the parent; `predicting` computes them in the child."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepack.records import TensorSpec
from edgepack.runtime.availability import Kernels, Runtime, require
from edgepack.runtime.client import DEFAULT_TIMEOUT_S, OnProgress, ask

if TYPE_CHECKING:  # the data room costs 0.2 s that a child for timing need not pay
    from edgepack.data.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What was predicted, and in which circumstances.

    Attributes:
      path: the .npz: one float32 array [samples, …] per output name, and ``raw:<name>`` where asked for.
      samples: rows of each array.
      inputs, outputs: as the interpreter reports them, under the names they were bound by.
      runtime, version, kernels, threads: what computed it.
      seconds: wall time in the interpreter, loading included.
    """

    path: Path
    samples: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    runtime: str
    version: str
    kernels: str
    threads: int
    seconds: float


def predict(
    model: Path,
    dataset: Dataset,
    target: Path,
    *,
    runtime: Runtime = "litert",
    kernels: Kernels = "default",
    threads: int = 1,
    limit: int | None = None,
    raw: bool = False,
    sha256: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_bytes: int | None = None,
    on_progress: OnProgress | None = None,
) -> Prediction:
    """Runs a .tflite over a dataset and writes its float32 outputs, sample by sample in the data's order.

    Inputs are bound by name (`interpreter.bind`) and quantized by the model's own parameters, ties rounded
    away from zero, clipped (`quantization.quantize`); ids are cast exactly. Variable tensors (the state of
    fused RNNs) are reset before every sample.

    Args:
      model: the .tflite.
      dataset: values after preprocessing are fed.
      target: .npz to write, at once or not at all.
      runtime: "litert" or "tflite-runtime".
      kernels: "default" or "reference".
      threads: of the interpreter.
      limit: first samples only.
      raw: also write outputs as stored, as ``raw:<name>``.
      sha256: expected digest of the model, checked before it is parsed.
      timeout_s, memory_bytes: limits of the child.
      on_progress: told the fraction done, a few times a second.

    Raises:
      ModelError, DataError, StorageError, MissingDependencyError, ChildCrashError.
    """
    version = require(runtime)
    arguments = {
        "model": str(model.absolute()),
        "dataset": dataset.to_json(),
        "target": str(target.absolute()),
        "kernels": kernels,
        "threads": threads,
        "limit": limit,
        "raw": raw,
        "sha256": sha256,
    }
    found = ask(
        "predict",
        arguments,
        runtime=runtime,
        timeout_s=timeout_s,
        memory_bytes=memory_bytes,
        on_progress=on_progress,
    )
    return Prediction(
        path=target,
        samples=found["samples"],
        inputs=_specs(found["inputs"]),
        outputs=_specs(found["outputs"]),
        runtime=runtime,
        version=version,
        kernels=kernels,
        threads=threads,
        seconds=found["seconds"],
    )


def _specs(found: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(**{**spec, "shape": tuple(spec["shape"])}) for spec in found)
