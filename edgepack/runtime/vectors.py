"""Raw vectors through a model, as stored on both sides, so that bits can be compared."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.runtime.arrays import save_npz
from edgepack.runtime.availability import Kernels, Runtime
from edgepack.runtime.client import DEFAULT_TIMEOUT_S, ask
from edgepack.runtime.inference import Arrays, Report, invoke_all
from edgepack.runtime.interpreter import load


def run_golden(
    model: Path,
    vectors: Mapping[str, npt.NDArray[Any]],
    *,
    runtime: Runtime = "litert",
    kernels: Kernels = "reference",
    threads: int = 1,
    sha256: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_bytes: int | None = None,
) -> Arrays:
    """Outputs as stored for inputs as stored: nothing is quantized or dequantized.

    Args:
      model: the .tflite.
      vectors: input name → array [n, …] of exactly the dtype that the model takes.
      runtime, kernels, threads: what computes.
      sha256: expected digest of the model, checked before it is parsed.
      timeout_s, memory_bytes: limits of the child.

    Returns:
      output name → array [n, …] of the model's dtype.

    Raises:
      ModelError, StorageError, MissingDependencyError, ChildCrashError.
    """
    each = run_kernels(
        model,
        vectors,
        (kernels,),
        runtime=runtime,
        threads=threads,
        sha256=sha256,
        timeout_s=timeout_s,
        memory_bytes=memory_bytes,
    )
    return each[kernels]


def run_kernels(
    model: Path,
    vectors: Mapping[str, npt.NDArray[Any]],
    kernels: Sequence[Kernels],
    *,
    runtime: Runtime = "litert",
    threads: int = 1,
    sha256: str | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    memory_bytes: int | None = None,
    child: Sequence[str] | None = None,
) -> dict[Kernels, Arrays]:
    """`run_golden` with several sets of kernels in one child: kernels → output name → array.

    Args:
      child: command that starts the child, where it is of another Python than this one.
    """
    with tempfile.TemporaryDirectory(prefix="edgepack-") as folder:
        source = Path(folder) / "in.npz"
        targets = {each: Path(folder) / f"{each}.npz" for each in kernels}
        save_npz(source, vectors)
        arguments = {
            "model": str(model.absolute()),
            "vectors": str(source),
            "targets": {each: str(target) for each, target in targets.items()},
            "threads": threads,
            "sha256": sha256,
        }
        ask(
            "vectors", arguments, runtime=runtime, timeout_s=timeout_s, memory_bytes=memory_bytes, child=child
        )
        return {each: _arrays(target) for each, target in targets.items()}


def run_here(
    *,
    runtime: str,
    model: str,
    vectors: str,
    targets: dict[str, str],
    threads: int,
    sha256: str | None,
    report: Report,
) -> dict[str, Any]:
    """Child side."""
    arrays = _arrays(Path(vectors))
    samples = {name: tuple(array.shape[1:]) for name, array in arrays.items()}
    count = len(next(iter(arrays.values())))
    for done, (kernels, target) in enumerate(targets.items()):
        report(done / len(targets))
        loaded = load(
            Path(model), runtime=runtime, kernels=kernels, threads=threads, sha256=sha256, samples=samples
        )
        for name, port in loaded.inputs.items():
            if arrays[name].dtype.name != port.dtype:
                raise errors.ModelError(
                    f"{model}: input {name!r} takes {port.dtype}, the vectors have {arrays[name].dtype.name}"
                )
        save_npz(Path(target), invoke_all(loaded, iter([arrays]), count, model))
    return {"samples": count}


def _arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
