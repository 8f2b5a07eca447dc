"""How long a model takes, told from a table of measured single ops.

t = t_invoke + Σ_ops t_op, and t_op = Σ cᵢ · featureᵢ with coefficients per kind of op, none negative, fitted to
measured single-op models by least relative squares; only the first op of a kind pays its fixed part in full. Matrix
kernels work in whole blocks of input and of output channels, so multiply-adds and written values are padded to blocks;
how large those are on this processor is fitted, too (8 × 16 with AVX-512, 64 × 64 with AMX, 1 × 8 with NEON, …).
Multiply-adds alone mislead: a depthwise convolution takes some ten times longer for each, and small ops are all
overhead. Weights that don't fit the cache beside the rest of the model's must be read anew in every inference, which
has its own cost per byte.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError

Array: TypeAlias = npt.NDArray[Any]

BLOCKS: Final = (1, 4, 8, 16, 32, 64)
"""Channels that a matrix kernel may work on at once."""
CACHES_BYTES: Final = tuple(1 << power for power in range(17, 25))
"""Sizes tried for the cache that weights stay in from one inference to the next."""
RIDGE: Final = 1e-13
REPEATED: Final = 0.05
"""Part of the fixed cost of an op that every further op of its kind has in the same inference: the rest is for code
and state of the kernels, which are there then (measured on x86-64 with chains of one to eight ops)."""
OTHER: Final = "elementwise"
"""Kind that stands in where a table has no measurements of an op's own."""
FEATURES: Final = ("op", "multiply_adds", "written", "read", "weights", "positions")
"""What coefficients belong to: one op; and thousands of padded multiply-adds, padded values written, values read,
weight bytes, and output positions."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one op does in one inference.

    Attributes:
      kind: "convolution", "pointwise", "depthwise", "dense", "pool", "softmax", "elementwise" …
      taps: of the kernel's window, kh · kw.
      inputs: channels that each output value is summed over; 1 where there are no weights.
      outputs: channels written.
      positions: where they are written, rows · columns.
      reads: values of activations read.
    """

    kind: str
    taps: int = 0
    inputs: int = 1
    outputs: int
    positions: int
    reads: int

    @property
    def weights(self) -> int:
        """How many weights it reads, once."""
        return self.taps * self.inputs * self.outputs

    def features(self, block: tuple[int, int]) -> tuple[float, ...]:
        """The values of `FEATURES` where kernels take `block` input and output channels at once."""
        outputs = _blocks(self.outputs, block[1])
        macs = self.positions * self.taps * _blocks(self.inputs, block[0]) * outputs
        thousands = (macs, self.positions * outputs, self.reads, self.weights, self.positions)
        return (1.0, *(value / 1e3 for value in thousands))


def convolution(*, taps: int, inputs: int, outputs: int, positions: int, read: int) -> Work:
    """A convolution over `positions` output positions; `taps` is kh · kw, `read` the values of its input map.

    Example:
      >>> convolution(taps=9, inputs=3, outputs=16, positions=100, read=300).weights
      432
    """
    kind = "pointwise" if taps == 1 else "convolution"
    return Work(kind=kind, taps=taps, inputs=inputs, outputs=outputs, positions=positions, reads=read)


def depthwise(*, taps: int, channels: int, positions: int, read: int) -> Work:
    """A depthwise convolution with `channels` outputs."""
    return Work(kind="depthwise", taps=taps, outputs=channels, positions=positions, reads=read)


def dense(*, inputs: int, outputs: int, rows: int = 1) -> Work:
    """A fully connected op."""
    return Work(kind="dense", taps=1, inputs=inputs, outputs=outputs, positions=rows, reads=rows * inputs)


def _blocks(count: int, block: int) -> int:
    return math.ceil(count / block) * block


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What ops of one kind cost.

    Attributes:
      block: input and output channels that their kernels take at once.
      coefficients: microseconds for each of `FEATURES`.
      uncached_us: more for a thousand weight bytes, in a model whose weights the cache cannot hold.
    """

    block: tuple[int, int]
    coefficients: tuple[float, ...]
    uncached_us: float = 0.0

    def us(self, work: Work, *, cached: bool = True) -> float:
        """Microseconds of one op."""
        uncached_us = 0.0 if cached else self.uncached_us * work.weights / 1e3
        return float(np.dot(self.coefficients, work.features(self.block))) + uncached_us


@dataclass(frozen=True, kw_only=True)
class LatencyModel:
    """The fitted costs of one machine, runtime and number of threads.

    Attributes:
      invoke_us: what an inference costs before its first op.
      kinds: kind of op → its costs.
      cache_bytes: what a model's weights may take and still be in the cache at the next inference.
    """

    invoke_us: float
    kinds: Mapping[str, Kind]
    cache_bytes: int

    def op_us(self, work: Work, *, cached: bool = True) -> float:
        """Microseconds of one op, whose weights are in the cache or not."""
        return self._kind(work).us(work, cached=cached)

    def each_us(self, works: Sequence[Work]) -> list[float]:
        """Microseconds of every op of a model, without what the inference costs before them."""
        cached = sum(work.weights for work in works) <= self.cache_bytes
        found: list[float] = []
        seen: set[str] = set()
        for work in works:
            spared = (1.0 - REPEATED) * self._kind(work).coefficients[0] if work.kind in seen else 0.0
            found.append(self.op_us(work, cached=cached) - spared)
            seen.add(work.kind)
        return found

    def _kind(self, work: Work) -> Kind:
        return self.kinds.get(work.kind) or self.kinds[OTHER]

    def model_us(self, works: Iterable[Work]) -> float:
        """Microseconds of one inference (the tenth percentile, as measured on an idle machine).

        Example:
          >>> kind = Kind(block=(1, 1), coefficients=(0.5, 0.0, 1.0, 0.0, 0.0, 0.0))
          >>> flat = LatencyModel(invoke_us=1.0, kinds={"elementwise": kind}, cache_bytes=1 << 20)
          >>> flat.model_us([Work(kind="elementwise", outputs=20, positions=100, reads=0)])
          3.5
        """
        return self.invoke_us + sum(self.each_us(tuple(works)))

    def to_json(self) -> dict[str, Any]:
        return {
            "invoke_us": self.invoke_us,
            "cache_bytes": self.cache_bytes,
            "features": list(FEATURES),
            "kinds": {
                name: {
                    "block": list(kind.block),
                    "coefficients": list(kind.coefficients),
                    "uncached_us": kind.uncached_us,
                }
                for name, kind in sorted(self.kinds.items())
            },
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> LatencyModel:
        """Inverse of `to_json`.

        Raises:
          BadInputError: not such an object.
        """
        try:
            if tuple(told["features"]) != FEATURES:
                raise ValueError(f"its features are {told['features']}")
            kinds = {str(name): _kind(kind) for name, kind in told["kinds"].items()}
            found = cls(
                invoke_us=float(told["invoke_us"]),
                kinds=kinds,
                cache_bytes=int(told["cache_bytes"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInputError(f"not a latency table: {error!r}; expected what `to_json` writes") from error
        if OTHER not in kinds:
            raise BadInputError(
                f"not a latency table: no kind {OTHER!r}, which stands in for all that is not measured"
            )
        return found


def _kind(told: Mapping[str, Any]) -> Kind:
    inputs, outputs = (int(size) for size in told["block"])
    coefficients = tuple(float(value) for value in told["coefficients"])
    uncached_us = float(told["uncached_us"])
    if (
        len(coefficients) != len(FEATURES)
        or min(coefficients) < 0
        or uncached_us < 0
        or min(inputs, outputs) < 1
    ):
        raise ValueError(f"coefficients {coefficients} with blocks of {inputs} and {outputs}")
    return Kind(block=(inputs, outputs), coefficients=coefficients, uncached_us=uncached_us)


def fitted(measured: Sequence[tuple[Work, float]], invoke_us: float) -> LatencyModel:
    """The model of measured single-op models.

    Args:
      measured: (what the op does, microseconds of an inference of it alone).
      invoke_us: the part of each that is not the op's.

    Raises:
      BadInputError: nothing measured of kind "elementwise".

    Example:
      >>> works = [Work(kind="elementwise", outputs=n, positions=1, reads=2 * n) for n in (1000, 2000, 8000)]
      >>> model = fitted([(work, 1.5 + work.outputs / 1000) for work in works], invoke_us=1.0)
      >>> round(model.model_us([works[1]]), 3)
      3.5
    """
    if not any(work.kind == OTHER for work, _ in measured):
        raise BadInputError(f"no measurement of kind {OTHER!r}; it stands in for all that is not measured")
    least, best = math.inf, None
    known: dict[tuple[str, int], tuple[float, Kind]] = {}
    for cache_bytes in CACHES_BYTES:
        error, model = _with_cache(measured, invoke_us, cache_bytes, known)
        if error < least - 1e-12:
            least, best = error, model
    assert best is not None
    return best


def _with_cache(
    measured: Sequence[tuple[Work, float]],
    invoke_us: float,
    cache_bytes: int,
    known: dict[tuple[str, int], tuple[float, Kind]],
) -> tuple[float, LatencyModel]:
    """The best model for a size of the cache, with its sum of squared relative errors.

    Args:
      known: kind and how many of its ops fit the cache → what was fitted to them.
    """
    error, kinds = 0.0, {}
    for name in sorted({work.kind for work, _ in measured}):
        own = [(work, us) for work, us in measured if work.kind == name]
        small = [(work, us) for work, us in own if work.weights <= cache_bytes]
        if (name, len(small)) not in known:
            known[name, len(small)] = _fitted_kind(small, invoke_us)
        missed, kind = known[name, len(small)]
        large = [(work, us) for work, us in own if work.weights > cache_bytes]
        missed_large, kinds[name] = _with_uncached(kind, large, invoke_us)
        error += missed + missed_large
    return error, LatencyModel(invoke_us=invoke_us, kinds=kinds, cache_bytes=cache_bytes)


def _with_uncached(
    kind: Kind, measured: Sequence[tuple[Work, float]], invoke_us: float
) -> tuple[float, Kind]:
    """A kind with what its weights cost beyond the cache, and the sum of squared relative errors there."""
    if not measured:
        return 0.0, kind
    slope = np.array([[work.weights / 1e3 / us] for work, us in measured])
    missing = np.array([1.0 - (invoke_us + kind.us(work)) / us for work, us in measured])
    (uncached_us,) = non_negative(slope, missing)
    error = float(np.square(missing - slope[:, 0] * uncached_us).sum())
    return error, replace(kind, uncached_us=float(uncached_us))


def _fitted_kind(measured: Sequence[tuple[Work, float]], invoke_us: float) -> tuple[float, Kind]:
    least, best = math.inf, Kind(block=(1, 1), coefficients=(0.0,) * len(FEATURES))
    if not measured:
        return 0.0, best
    took = np.maximum(np.array([us - invoke_us for _, us in measured]), 0.05)
    summed = any(work.inputs > 1 for work, _ in measured)
    weighted = any(work.taps for work, _ in measured)
    for block in itertools.product(BLOCKS if summed else (1,), BLOCKS if weighted else (1,)):
        features = np.array([work.features(block) for work, _ in measured]) / took[:, None]
        found = non_negative(features, np.ones(len(measured)))
        error = float(np.square(features @ found - 1.0).sum())
        if error < least - 1e-12:
            least = error
            best = Kind(block=block, coefficients=tuple(float(value) for value in found))
    return least, best


def non_negative(matrix: Array, wanted: Array) -> Array:
    """The x ≥ 0 with the least ‖Ax − b‖² (Lawson and Hanson, 1974, by trying all sets of zeros: columns are few).

    Args:
      matrix: [m, k], k ≤ 8.
      wanted: [m].

    Example:
      >>> non_negative(np.array([[1.0, 1.0], [1.0, 2.0]]), np.array([1.0, 0.0])).round(6).tolist()
      [0.5, 0.0]
    """
    norms = np.linalg.norm(matrix, axis=0)
    scaled = matrix / np.where(norms > 0, norms, 1.0)
    gram, towards = scaled.T @ scaled, scaled.T @ wanted
    columns = matrix.shape[1]
    chosen = (np.arange(1, 2**columns)[:, None] >> np.arange(columns) & 1).astype(np.float64)
    # Columns left out become equations x = 0; the tiny ridge keeps equal columns solvable.
    systems = gram * chosen[:, :, None] * chosen[:, None, :] + (1.0 + RIDGE - chosen)[:, :, None] * np.eye(
        columns
    )
    found = np.linalg.solve(systems, (towards * chosen)[:, :, None])[:, :, 0] * (norms > 0)
    errors = np.einsum("si,ij,sj->s", found, gram, found) - 2.0 * found @ towards
    errors[(found < 0).any(axis=1)] = 0.0  # as bad as no columns at all
    best = int(np.argmin(errors))
    return found[best] / np.where(norms > 0, norms, 1.0) if errors[best] < 0 else np.zeros(columns)
