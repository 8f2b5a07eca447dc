"""How long a model takes, told from a table of measured single ops.

t = t_invoke + Σ_ops t_op, and t_op = c₀ + c₁ · padded multiply-adds + c₂ · values read + c₃ · values written, with
coefficients per kind of op, none negative, fitted to measured single-op models by least relative squares. Multiply-adds
are padded as matrix kernels work: whole blocks of output channels and of input channels. Multiply-adds alone mislead:
a depthwise convolution takes some ten times longer for each, and small ops are all overhead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.errors import BadInputError

Array: TypeAlias = npt.NDArray[Any]

OUTPUT_BLOCK: Final = 16
INPUT_BLOCK: Final = 8
"""Channels that the int8 matrix kernels of XNNPACK work on at once (8x16c8 on AVX-512)."""
OTHER: Final = "elementwise"
"""Kind that stands in where a table has no measurements of an op's own."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """What one op does in one inference.

    Attributes:
      kind: "convolution", "pointwise", "depthwise", "dense", "pool", "softmax", "elementwise" …
      macs: multiply-adds, padded to blocks.
      reads, writes: values of activations, and for "dense" weights as well.
    """

    kind: str
    macs: float
    reads: float
    writes: float

    @property
    def features(self) -> tuple[float, float, float, float]:
        return (1.0, self.macs / 1e3, self.reads / 1e3, self.writes / 1e3)


def convolution(*, taps: int, inputs: int, outputs: int, positions: int, read: int) -> Work:
    """A convolution over `positions` output positions; `taps` is kh · kw, `read` the values of its input map.

    Example:
      >>> convolution(taps=9, inputs=3, outputs=16, positions=100, read=300).macs
      115200.0
    """
    macs = float(positions * taps * _blocks(inputs, INPUT_BLOCK) * _blocks(outputs, OUTPUT_BLOCK))
    kind = "pointwise" if taps == 1 else "convolution"
    return Work(kind=kind, macs=macs, reads=float(read), writes=float(positions * outputs))


def depthwise(*, taps: int, channels: int, positions: int, read: int) -> Work:
    """A depthwise convolution with `channels` outputs."""
    macs = float(positions * taps * _blocks(channels, OUTPUT_BLOCK))
    return Work(kind="depthwise", macs=macs, reads=float(read), writes=float(positions * channels))


def dense(*, inputs: int, outputs: int, rows: int = 1) -> Work:
    """A fully connected op; with one row it reads each weight once."""
    macs = float(rows * _blocks(inputs, INPUT_BLOCK) * _blocks(outputs, OUTPUT_BLOCK))
    return Work(
        kind="dense", macs=macs, reads=float(inputs * outputs + rows * inputs), writes=float(rows * outputs)
    )


def _blocks(count: int, block: int) -> int:
    return math.ceil(count / block) * block


@dataclass(frozen=True, kw_only=True)
class LatencyModel:
    """The fitted coefficients of one machine, runtime and number of threads.

    Attributes:
      invoke_us: what an inference costs before its first op.
      coefficients: kind → microseconds for an op, and for a thousand multiply-adds, values read and values written.
    """

    invoke_us: float
    coefficients: Mapping[str, tuple[float, float, float, float]]

    def op_us(self, work: Work) -> float:
        """Microseconds of one op."""
        own = self.coefficients.get(work.kind) or self.coefficients[OTHER]
        return float(np.dot(own, work.features))

    def model_us(self, works: Iterable[Work]) -> float:
        """Microseconds of one inference (the tenth percentile, as measured on an idle machine).

        Example:
          >>> flat = LatencyModel(invoke_us=1.0, coefficients={"elementwise": (0.5, 0.0, 0.0, 1.0)})
          >>> flat.model_us([Work(kind="elementwise", macs=0, reads=0, writes=2000)])
          3.5
        """
        return self.invoke_us + sum(self.op_us(work) for work in works)

    def to_json(self) -> dict[str, Any]:
        return {
            "invoke_us": self.invoke_us,
            "coefficients": {kind: list(each) for kind, each in sorted(self.coefficients.items())},
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> LatencyModel:
        """Inverse of `to_json`.

        Raises:
          BadInputError: not such an object.
        """
        try:
            kinds = {
                str(kind): (float(a), float(b), float(c), float(d))
                for kind, (a, b, c, d) in told["coefficients"].items()
            }
            found = cls(invoke_us=float(told["invoke_us"]), coefficients=kinds)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BadInputError(f"not a latency table: {error!r}; expected what `to_json` writes") from error
        if OTHER not in kinds:
            raise BadInputError(
                f"not a latency table: no kind {OTHER!r}, which stands in for all that is not measured"
            )
        return found


def fitted(measured: Sequence[tuple[Work, float]], invoke_us: float) -> LatencyModel:
    """The model of measured single-op models.

    Args:
      measured: (what the op does, microseconds of an inference of it alone).
      invoke_us: the part of each that is not the op's.

    Raises:
      BadInputError: nothing measured of kind "elementwise".

    Example:
      >>> works = [Work(kind="elementwise", macs=0, reads=n, writes=n) for n in (1000, 2000, 8000)]
      >>> model = fitted([(work, 1.5 + work.writes / 1000) for work in works], invoke_us=1.0)
      >>> round(model.model_us([works[1]]), 3)
      3.5
    """
    kinds: dict[str, list[tuple[Work, float]]] = {}
    for work, took_us in measured:
        kinds.setdefault(work.kind, []).append((work, took_us))
    if OTHER not in kinds:
        raise BadInputError(f"no measurement of kind {OTHER!r}; it stands in for all that is not measured")
    coefficients = {}
    for kind, each in sorted(kinds.items()):
        features = np.array([work.features for work, _ in each], np.float64)
        took = np.maximum(np.array([took_us - invoke_us for _, took_us in each]), 0.05)
        a, b, c, d = non_negative(features / took[:, None], np.ones(len(each)))
        coefficients[kind] = (float(a), float(b), float(c), float(d))
    return LatencyModel(invoke_us=invoke_us, coefficients=coefficients)


def non_negative(matrix: Array, wanted: Array) -> Array:
    """The x ≥ 0 with the least ‖Ax − b‖² (Lawson and Hanson, 1974, by trying all sets of zeros: columns are few).

    Args:
      matrix: [m, k], k ≤ 8.
      wanted: [m].

    Example:
      >>> non_negative(np.array([[1.0, 1.0], [1.0, 2.0]]), np.array([1.0, 0.0])).round(6).tolist()
      [0.5, 0.0]
    """
    columns = matrix.shape[1]
    best, least = np.zeros(columns), float(np.square(wanted).sum())
    for chosen in range(1, 2**columns):
        used = [column for column in range(columns) if chosen >> column & 1]
        part = matrix[:, used]
        found = np.linalg.lstsq(part, wanted, rcond=None)[0]
        error = float(np.square(part @ found - wanted).sum())
        if (found >= 0).all() and error < least - 1e-12:
            best, least = np.zeros(columns), error
            best[used] = found
    return best
