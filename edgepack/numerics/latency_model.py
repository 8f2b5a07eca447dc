"""How long a model takes, told from a table of measured single ops.

t = t_invoke + Σ_ops t_op, and t_op = Σ cᵢ · featureᵢ with coefficients per kind of op, none negative, fitted to
measured single-op models by least relative squares; only the first op of a kind pays its fixed part in full. Matrix
kernels work in whole blocks of input and of output channels, so multiply-adds and written values are padded to blocks;
how large those are on this processor is fitted, too (8 × 16 with AVX-512, 64 × 64 with AMX, 1 × 8 with NEON, …).
Multiply-adds alone mislead: a depthwise convolution takes some ten times longer for each, and small ops are all
overhead. Weights that don't fit the cache beside the rest of the model's must be read anew in every inference, which
has its own cost per byte; those that don't fit it alone, for every block of output positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from edgepack.errors import BadInputError

REPEATED: Final = 0.05
"""Part of the fixed cost of an op that every further op of its kind has in the same inference: the rest is for code
and state of the kernels, which are there then (measured on x86-64 with chains of one to eight ops)."""
ALL_ROWS: Final = 1 << 30
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
      uncached_us: more for a thousand weight bytes that are not in the cache.
      rows: output positions that kernels take at once; for each such block an op whose own weights the cache cannot hold
        reads them anew.
    """

    block: tuple[int, int]
    coefficients: tuple[float, ...]
    uncached_us: float = 0.0
    rows: int = ALL_ROWS

    def us(self, work: Work, *, readings: int = 0) -> float:
        """Microseconds of one op that reads its weights `readings` times from beyond the cache."""
        uncached_us = self.uncached_us * readings * work.weights / 1e3
        return float(np.dot(self.coefficients, work.features(self.block))) + uncached_us

    def readings(self, work: Work) -> int:
        """How often an op reads its weights, block of positions after block."""
        return math.ceil(work.positions / self.rows)


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

    def op_us(self, work: Work, *, alone: bool = True) -> float:
        """Microseconds of one op; not `alone`, other ops have taken its weights' place in the cache meanwhile."""
        kind = self._kind(work)
        readings = kind.readings(work) if work.weights > self.cache_bytes else 0 if alone else 1
        return kind.us(work, readings=readings)

    def each_us(self, works: Sequence[Work]) -> list[float]:
        """Microseconds of every op of a model, without what the inference costs before them."""
        alone = sum(work.weights for work in works) <= self.cache_bytes
        found: list[float] = []
        seen: set[str] = set()
        for work in works:
            spared = (1.0 - REPEATED) * self._kind(work).coefficients[0] if work.kind in seen else 0.0
            found.append(self.op_us(work, alone=alone) - spared)
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
                    "rows": kind.rows,
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
    uncached_us, rows = float(told["uncached_us"]), int(told["rows"])
    if (
        len(coefficients) != len(FEATURES)
        or min(coefficients) < 0
        or uncached_us < 0
        or min(inputs, outputs, rows) < 1
    ):
        raise ValueError(f"coefficients {coefficients} with blocks of {inputs} and {outputs}")
    return Kind(block=(inputs, outputs), coefficients=coefficients, uncached_us=uncached_us, rows=rows)
