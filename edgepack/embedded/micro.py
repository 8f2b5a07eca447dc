"""What TensorFlow Lite Micro makes of a model: kernels, arena, and whether its answers are those of LiteRT's kernels.

Its convolutions, pools and softmax were seen to answer bit for bit as LiteRT's reference kernels; FULLY_CONNECTED is one
step off in about one of a thousand outputs, float LSTMs in the seventh digit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors, runtime, tflite
from edgepack.embedded.operators import resolver_methods
from edgepack.records import Json, TensorSpec
from edgepack.runtime import MicroArena, MicroRun
from edgepack.tflite.arena import arena

SAMPLES: Final = 16
"""Drawn inputs that answers are compared on."""


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A model in TensorFlow Lite Micro's interpreter on this machine.

    Attributes:
      arena: as the interpreter's own allocator recorded it, with pointers of 64 bits.
      planned_head_bytes: what `tflite.arena` plans for the head; less where kernels take scratch buffers.
      methods: what registers its operators.
      differences: output name → largest difference to LiteRT's reference kernels, in steps of what is stored (floats: in
        value); None where LiteRT cannot run the file.
      samples: drawn inputs that were compared.
      version: of tflite-micro.
    """

    arena: MicroArena
    planned_head_bytes: int
    methods: tuple[str, ...]
    differences: Mapping[str, float] | None
    samples: int
    version: str

    @property
    def identical(self) -> bool | None:
        """Whether no output differed; None where nothing could be compared."""
        return None if self.differences is None else not any(self.differences.values())

    def to_json(self) -> dict[str, Json]:
        told: dict[str, Any] = {
            "runtime": "tflite-micro",
            "version": self.version,
            "arena": asdict(self.arena),
            "planned_head_bytes": self.planned_head_bytes,
            "resolver": list(self.methods),
            "differences": None if self.differences is None else dict(self.differences),
            "identical": self.identical,
            "samples": self.samples,
        }
        return told


def examine(path: Path, *, seed: int = 0, samples: int = SAMPLES) -> Examined:
    """Runs drawn inputs through both interpreters.

    Raises:
      BadInputError: an operator without a kernel in tflite-micro; names it.
      ModelError: tflite-micro refuses the model for another reason, or cannot run it.
      MissingDependencyError, ChildCrashError, StorageError.
    """
    model = tflite.read(path)
    methods = resolver_methods(model)
    inputs, outputs = tflite.interface(model)
    vectors = drawn(inputs, samples, seed)
    found = runtime.run_micro(path, vectors)
    return Examined(
        arena=found.arena,
        planned_head_bytes=arena(model).activation_bytes,
        methods=methods,
        differences=_differences(path, inputs, outputs, vectors, found),
        samples=samples,
        version=runtime.require("tflite-micro"),
    )


def drawn(inputs: Sequence[TensorSpec], samples: int, seed: int) -> list[npt.NDArray[Any]]:
    """Inputs as stored, uniform over the whole range of each; ids are 0, the one that every table has."""
    random = np.random.Generator(np.random.PCG64(seed))
    vectors: list[npt.NDArray[Any]] = []
    for spec in inputs:
        shape = (samples, *(size or 1 for size in spec.shape))
        dtype = np.dtype(spec.dtype)
        if np.issubdtype(dtype, np.floating):
            vectors.append(random.uniform(-1.0, 1.0, shape).astype(dtype))
        elif spec.scale is None:
            vectors.append(np.zeros(shape, dtype))
        else:
            limits = np.iinfo(dtype)
            vectors.append(random.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True))
    return vectors


def _differences(
    path: Path,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    vectors: Sequence[npt.NDArray[Any]],
    found: MicroRun,
) -> dict[str, float] | None:
    if any(spec.shape[:1] not in ((1,), (None,)) for spec in inputs):
        return None  # one sample is not one row: the other interpreter's loop takes rows
    rows = {spec.name: vector[:, 0] for spec, vector in zip(inputs, vectors, strict=True)}
    try:
        wanted = runtime.run_golden(path, rows)
    except errors.ModelError:
        return None
    return {
        spec.name: _largest(mine, wanted[spec.name])
        for spec, mine in zip(outputs, found.outputs, strict=True)
        if spec.name in wanted
    }


def _largest(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    exact = np.float64 if np.issubdtype(one.dtype, np.floating) else np.int64
    return float(np.max(np.abs(one.astype(exact) - other.reshape(one.shape).astype(exact)), initial=0))
