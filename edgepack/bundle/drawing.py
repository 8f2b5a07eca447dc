"""Making golden vectors: seeded inputs, reference outputs, and how far other kernels may be off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.durable import storage_errors
from edgepack.records import TensorSpec, file_sha256
from edgepack.runtime import Runtime, require, run_kernels
from edgepack.runtime.golden import Arrays, Golden, OutputCheck, argmax_agreement, difference

COUNT: Final = 16
FLOAT_TOLERANCE: Final = 1e-5
"""Of the largest reference value: float sums depend on their order, which kernels choose."""


def make_golden(
    model: Path,
    inputs: Sequence[TensorSpec],
    *,
    seed: int = 0,
    count: int = COUNT,
    id_limits: Mapping[str, int] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    vectors: Arrays | None = None,
    runtime: Runtime = "litert",
    threads: int = 1,
) -> Golden:
    """Draws inputs, runs them through the reference kernels, and measures how far off the default ones are.

    Quantized inputs are uniform over their whole range. What is tolerated elsewhere is twice what was found
    here, at least 2 LSB: 16 vectors find the largest difference only by luck, and other processors round
    otherwise once more (measured between x86-64 and Cortex-A72: 1 LSB).

    Args:
      model: the .tflite.
      inputs: its inputs, by the names they are bound by.
      seed: of the drawing.
      count: vectors.
      id_limits: input name → how many rows its embedding has; ids are drawn below.
      ranges: float input name → lowest and highest value, else -1 … 1.
      vectors: real inputs as stored, instead of drawn ones: they go into the package, so ask first.
      runtime: whose kernels to take.

    Raises:
      ModelError, MissingDependencyError, ChildCrashError, StorageError.
    """
    with storage_errors(model):
        digest = file_sha256(model)
    drawn = _draw(inputs, count, seed, id_limits or {}, ranges or {}) if vectors is None else dict(vectors)
    found = run_kernels(
        model, drawn, ("reference", "default"), runtime=runtime, threads=threads, sha256=digest
    )
    reference, default = found["reference"], found["default"]
    return Golden(
        model_sha256=digest,
        inputs=drawn,
        outputs=reference,
        runtime=runtime,
        version=require(runtime),
        source="synthetic" if vectors is None else "data",
        seed=seed,
        checks=tuple(_measured(name, reference[name], default[name]) for name in sorted(reference)),
    )


def _measured(name: str, reference: npt.NDArray[Any], default: npt.NDArray[Any]) -> OutputCheck:
    distance = difference(reference, default)
    if math.isinf(distance):
        raise errors.ModelError(
            f"output {name!r} is infinite or not a number for random inputs with some kernels; "
            "the model cannot be checked on other devices by its outputs"
        )
    floor = 2.0
    if np.issubdtype(reference.dtype, np.floating):
        floor = float(np.float32(FLOAT_TOLERANCE * np.max(np.abs(reference), initial=0.0)))
    return OutputCheck(
        name=name,
        difference=distance,
        tolerance=max(floor, 2.0 * distance),
        argmax_agreement=argmax_agreement(reference, default),
    )


def _draw(
    inputs: Sequence[TensorSpec],
    count: int,
    seed: int,
    id_limits: Mapping[str, int],
    ranges: Mapping[str, tuple[float, float]],
) -> dict[str, npt.NDArray[Any]]:
    random = np.random.Generator(np.random.PCG64(seed))
    drawn: dict[str, npt.NDArray[Any]] = {}
    for spec in sorted(inputs, key=lambda each: each.name):
        shape = (count, *(1 if size is None else size for size in spec.shape[1:]))
        dtype = np.dtype(spec.dtype)
        if np.issubdtype(dtype, np.floating):
            low, high = ranges.get(spec.name, (-1.0, 1.0))
            drawn[spec.name] = random.uniform(low, high, size=shape).astype(dtype)
        elif dtype == np.bool_:
            drawn[spec.name] = random.integers(0, 2, size=shape).astype(dtype)
        elif spec.scale is not None:
            limits = np.iinfo(dtype)
            drawn[spec.name] = random.integers(limits.min, limits.max, size=shape, dtype=dtype, endpoint=True)
        else:
            drawn[spec.name] = random.integers(0, id_limits.get(spec.name, 1), size=shape, dtype=dtype)
    return drawn
