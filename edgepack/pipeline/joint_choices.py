"""What a joint plan chooses from: for every kernel with statistics a row of prices, each with its error and its bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.facts import LayerFacts
from edgepack.numerics.allocation import Choice
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.numerics.obs_sweep import Curvature
from edgepack.numerics.rate_rounding import MOST, Estimate, Per, estimate, stiffness
from edgepack.records import Json

Array: TypeAlias = npt.NDArray[Any]
Key: TypeAlias = tuple[str, str]
"""Layer and kernel role."""

STEPS_AN_OCTAVE: Final = 2
STEPS: Final = 60
"""Prices that a kernel is tried at: from the finest int8 grid to hardly any weight left."""
NEARLY_NOTHING: Final = 0.98
"""Share of zeros beyond which no higher price is tried."""
INT8_BITS: Final = 7.0
"""What a weight that is only rounded to int8 takes, delivered."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The choices of one kernel.

    Attributes:
      prices: loss of a bit; None: left as it is, which is the choice of a kernel without statistics.
      estimates: what each price is expected to cost.
    """

    prices: tuple[float | None, ...]
    estimates: tuple[Estimate, ...]

    def to_json(self) -> dict[str, Json]:
        return {"prices": list(self.prices), "estimates": [asdict(each) for each in self.estimates]}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Table:
        """Inverse of `to_json`."""
        estimates = tuple(Estimate(**each) for each in told["estimates"])
        return cls(prices=tuple(told["prices"]), estimates=estimates)

    def choices(self) -> list[Choice]:
        """As the allocator takes them."""
        return [
            Choice(error=each.error, costs={"delivered_bytes": each.delivered_bytes})
            for each in self.estimates
        ]


def tables(
    facts: Sequence[LayerFacts], statistics: Mapping[Key, LayerStatistics], per: Per
) -> dict[str, Table]:
    """For every kernel of a folded model its choices, by "layer/role".

    Args:
      facts: of the folded candidate.
      per: how the conversion will scale kernels.
    """
    found = {}
    for layer in facts:
        for kernel in layer.kernels:
            seen = statistics.get((layer.name, kernel.role))
            if seen is None or not _sound(seen) or kernel.array.size < 2 or not np.any(kernel.array):
                whole = Estimate(
                    error=0.0, delivered_bytes=kernel.array.size * INT8_BITS / 8, zeros=0.0, distinct=255
                )
                found[named(layer.name, kernel.role)] = Table(prices=(None,), estimates=(whole,))
            else:
                found[named(layer.name, kernel.role)] = _table(kernel.array, seen, per)
    return found


def named(layer: str, role: str) -> str:
    """The key of a kernel in a plan; roles hold no slash."""
    return f"{layer}/{role}"


def parted(key: str) -> Key:
    """Inverse of `named`.

    Example:
      >>> parted(named("block/conv", "kernel"))
      ('block/conv', 'kernel')
    """
    layer, _, role = key.rpartition("/")
    return layer, role


def _sound(seen: LayerStatistics) -> bool:
    return bool(np.isfinite(seen.covariance).all() and np.isfinite(seen.gradient).all())


def _table(kernel: Array, seen: LayerStatistics, per: Per) -> Table:
    weights = seen.unfold(kernel)
    stiff = np.broadcast_to(stiffness(Curvature.of(seen)), weights.shape)
    # The price at which the finest grid of int8 is the right one (see `rate_rounding`), on a scale common to all kernels.
    finest = float(np.abs(weights).max()) / MOST
    price = math.log(2) / 6 * float(stiff.mean()) * finest**2
    first = math.floor(STEPS_AN_OCTAVE * math.log2(max(price, 1e-280)))
    prices: list[float] = []
    estimates: list[Estimate] = []
    while len(prices) < STEPS and not (estimates and estimates[-1].zeros > NEARLY_NOTHING):
        prices.append(2.0 ** ((first + len(prices)) / STEPS_AN_OCTAVE))
        estimates.append(estimate(weights, stiff, prices[-1], per))
    return Table(prices=tuple(prices), estimates=tuple(estimates))
