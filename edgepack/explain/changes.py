"""What could still be done to a layer of a finished .tflite, done to its integers: how the file would look then.

Each change is carried out in one shot on the stored weights. A build that fine-tunes or makes up for it by calibration
data loses less; its bytes come out about the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import tflite
from edgepack.numerics import clustering
from edgepack.report.anatomy import Part

Array = npt.NDArray[Any]

CLUSTERS: Final = (16, 32)
SPARSITY: Final = 0.5
ENERGY: Final = 0.8
LEAST_WEIGHTS: Final = 1_000
WORTH_FACTORS: Final = 0.85
"""Factors are worth an op more where they need at most this share of the multiply-adds."""
LEVELS: Final = 15
"""Values that four bits around zero have."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """One change of one layer, or of all.

    Attributes:
      stage: keys of the `[[stage]]` (or of `[quantize]`) that does it, as TOML lines.
      layers: their Keras names; () for all.
      constants: tensor of the main subgraph → its stored numbers after the change.
      rank: where the layer would become two of this rank; None where its ops stay.
    """

    title: str
    stage: tuple[str, ...]
    layers: tuple[str, ...]
    constants: Mapping[int, Array] = field(default_factory=dict)
    rank: int | None = None


def changes(model: tflite.Model, layers: list[Part]) -> Iterator[Change]:
    """What is worth trying, layer by layer, then for the whole model."""
    whole: dict[int, Array] = {}
    for part in layers:
        tensors = [model.main.tensors[index] for index in part.kernels]
        stored = {tensor.index: value for tensor in tensors if (value := _stored(model, tensor)) is not None}
        if sum(array.size for array in stored.values()) < LEAST_WEIGHTS:
            continue
        yield from _clusterings(model, part, stored)
        if (part.sparsity or 0.0) < SPARSITY - 0.1:
            yield _pruning(part, stored)
        factors = _factors(model, part, stored)
        if factors is not None:
            yield factors
        if (part.distinct or 256) > LEVELS + 1:
            whole |= {index: rounded(array) for index, array in stored.items() if array.dtype == np.int8}
    if whole:
        yield Change(
            title="round all weights to 4 bits", stage=("weight_bits = 4",), layers=(), constants=whole
        )


def _stored(model: tflite.Model, tensor: tflite.Tensor) -> Array | None:
    value = model.value(tensor)
    return value if value is not None and tensor.dtype in ("int8", "float32") else None


def _clusterings(model: tflite.Model, part: Part, stored: Mapping[int, Array]) -> Iterator[Change]:
    for clusters in CLUSTERS:
        if (part.distinct or 256) <= clusters:
            continue
        constants = {
            index: clustered(array, channel_axis(model.main.tensors[index], part.kind), clusters)
            for index, array in stored.items()
        }
        yield Change(
            title=f"cluster {part.layer} to {clusters} values per channel",
            stage=('use = "cluster"', f"clusters = {clusters}"),
            layers=(part.layer,),
            constants=constants,
        )


def _pruning(part: Part, stored: Mapping[int, Array]) -> Change:
    return Change(
        title=f"prune {part.layer} to {SPARSITY:.0%} zeros",
        stage=('use = "prune"', f"sparsity = {SPARSITY}"),
        layers=(part.layer,),
        constants={index: pruned(array, SPARSITY) for index, array in stored.items()},
    )


def _factors(model: tflite.Model, part: Part, stored: Mapping[int, Array]) -> Change | None:
    """Two factors in place of a kernel, where they save multiply-adds."""
    if (
        len(stored) != 1
        or part.rank is not None
        or part.origin
        or part.kind not in ("Dense", "Conv2D", "Conv1D")
    ):
        return None
    index, array = next(iter(stored.items()))
    tensor = model.main.tensors[index]
    matrix = _real(tensor, array).reshape(len(array), -1)
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    shares = np.cumsum(values**2) / max(float((values**2).sum()), 1e-30)
    rank = int(np.searchsorted(shares, ENERGY)) + 1
    outputs, inputs = matrix.shape
    if rank * (outputs + inputs) > WORTH_FACTORS * outputs * inputs:
        return None
    near = (left[:, :rank] * values[:rank]) @ right[:rank]
    return Change(
        title=f"factorize {part.layer} to rank {rank}",
        stage=('use = "factorize"', f"rank = {rank}"),
        layers=(part.layer,),
        constants={index: _restored(tensor, near.reshape(array.shape))},
        rank=rank,
    )


def clustered(stored: Array, axis: int, clusters: int) -> Array:
    """At most so many values in each channel; zeros stay.

    Example:
      >>> clustered(np.array([[1, 2, 9, 10, 0]], np.int8), 0, 3).tolist()
      [[2, 2, 10, 10, 0]]
    """
    moved = clustering.cluster(stored.astype(np.float64), clusters, channel_axes=(axis,))
    return _as(stored.dtype, moved)


def pruned(stored: Array, sparsity: float) -> Array:
    """The smallest weights of the tensor become zero.

    Example:
      >>> pruned(np.array([3, -1, 2, -8], np.int8), 0.5).tolist()
      [3, 0, 0, -8]
    """
    sizes = np.abs(stored.astype(np.float64)).reshape(-1)
    kept = stored.copy().reshape(-1)
    kept[np.argsort(sizes, kind="stable")[: math.floor(sparsity * sizes.size)]] = 0
    return kept.reshape(stored.shape)


def rounded(stored: Array) -> Array:
    """To the multiples of 127 / 7: what four bits hold.

    Example:
      >>> rounded(np.array([127, 20, 5, -60], np.int8)).tolist()
      [127, 18, 0, -54]
    """
    step = 127.0 / (LEVELS // 2)
    return _as(stored.dtype, np.rint(stored.astype(np.float64) / step) * step)


def channel_axis(tensor: tflite.Tensor, kind: str) -> int:
    """The axis of a stored kernel that numbers its output channels."""
    quantization = tensor.quantization
    if quantization is not None and quantization.per_channel:
        return quantization.axis
    return len(tensor.shape) - 1 if kind.startswith("Depthwise") or kind == "DEPTHWISE_CONV_2D" else 0


def _as(dtype: Any, values: Array) -> Array:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        return np.clip(np.rint(values), limits.min, limits.max).astype(dtype)
    return values.astype(dtype)


def _steps(tensor: tflite.Tensor, ndim: int) -> Array:
    quantization = tensor.quantization
    if quantization is None or not quantization.scale.size:
        return np.ones([1] * ndim)
    shape = [1] * ndim
    if quantization.per_channel:
        shape[quantization.axis] = -1
    return quantization.scale.astype(np.float64).reshape(shape)


def _real(tensor: tflite.Tensor, stored: Array) -> Array:
    return stored.astype(np.float64) * _steps(tensor, stored.ndim)


def _restored(tensor: tflite.Tensor, real: Array) -> Array:
    dtype = np.dtype(np.int8 if tensor.dtype == "int8" else np.float32)
    return _as(dtype, real / _steps(tensor, real.ndim))
