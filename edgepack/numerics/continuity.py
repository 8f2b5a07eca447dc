"""Which weights of a release keep the integers of the release before, so that the update between them is small.

A weight of the new model is given by the previous release's own numbers: its scale, its values per channel, its zeros.
What is left to choose is which weights change at all. Every change costs bits in the update and buys back loss: the
loss is taken as quadratic, each weight with the square of its error in units of its layer's output step, and the
changes that buy most for their bits come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

CODEBOOK: Final = 64
"""A channel with at most so many different values is clustered: its values are its codebook."""
MASKED: Final = 0.2
"""A kernel with at least this share of zeros was pruned: its zeros are its mask."""
MOST: Final = 2.0**31 - 1
"""A bias is an integer of 32 bits."""
WEIGHT_BITS: Final = 10.0
BIAS_BITS: Final = 26.0
"""About what one changed weight, and one changed bias, costs in a compressed difference: where it is, and what."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What could change in one constant.

    Attributes:
      old: integers of the previous release, int64 in any shape.
      new: those that would be best now, of the same shape; equal to `old` where nothing is gained.
      gain: how much loss each change buys back per bit, float64 of the same shape; 0 where `new` is `old`.
    """

    old: Array
    new: Array
    gain: Array

    @property
    def changes(self) -> int:
        """How many would change."""
        return int((self.new != self.old).sum())

    def taken(self, threshold: float) -> Array:
        """The integers when every change that gains more than `threshold` is made."""
        return np.where(self.gain > threshold, self.new, self.old)


def propose(old: Array, target: Array, value: Array, *, low: int, high: int) -> Proposal:
    """Changes of a kernel within the previous release's values and zeros.

    Args:
      old: [channels, weights], integers around a zero point of 0.
      target: the new weights in units of the old scale, [channels, weights].
      value: loss per squared step of each weight, broadcast to [channels, weights].
      low, high: integers that the type and the scheme allow, such as -127 and 127.

    Example:
      >>> found = propose(np.array([[0, 4, 9, 4]]), np.array([[0.2, 4.4, 4.0, 8.9]]), np.ones((1, 1)), low=-127, high=127)
      >>> found.new.tolist()
      [[0, 4, 4, 9]]
    """
    old = np.asarray(old, np.int64)
    masked = float((old == 0).mean()) >= MASKED if old.size else False
    new = np.empty_like(old)
    for channel in range(len(old)):
        codes = np.unique(old[channel])
        if len(codes) > CODEBOOK:
            new[channel] = np.clip(np.rint(target[channel]), low, high)
        else:
            new[channel] = nearest(codes, target[channel])
    if masked:
        new[old == 0] = 0
    gain = _gain(old, new, target, value) / WEIGHT_BITS
    return Proposal(old=old, new=np.where(gain > 0, new, old), gain=gain)


def propose_bias(old: Array, target: Array, value: Array) -> Proposal:
    """Changes of a bias, [channels], in integers of the scale that it will have.

    Args:
      target: the new bias in that scale.
      value: loss per squared step, [channels].
    """
    old = np.asarray(old, np.int64)
    new = np.rint(np.clip(np.nan_to_num(target), -MOST, MOST)).astype(np.int64)
    gain = _gain(old, new, target, value) / BIAS_BITS
    return Proposal(old=old, new=np.where(gain > 0, new, old), gain=gain)


def _gain(old: Array, new: Array, target: Array, value: Array) -> Array:
    """Loss that each change buys back; 0 where a previous release's scales leave no finite number."""
    with np.errstate(over="ignore", invalid="ignore"):
        gain = np.maximum((old - target) ** 2 - (new - target) ** 2, 0.0) * value
    return np.where(np.isfinite(gain), gain, 0.0)


def nearest(codes: Array, target: Array) -> Array:
    """The nearest of some sorted integers to each number; the lower one of two as near.

    Example:
      >>> nearest(np.array([-3, 0, 5]), np.array([-9.0, 2.0, 2.6, 7.0])).tolist()
      [-3, 0, 5, 5]
    """
    right = np.clip(np.searchsorted(codes, target), 0, len(codes) - 1)
    left = np.maximum(right - 1, 0)
    chosen = np.where(target - codes[left] <= codes[right] - target, left, right)
    return np.asarray(codes[chosen], np.int64)


def thresholds(proposals: Sequence[Proposal], shares: Sequence[float]) -> list[float]:
    """The gain above which a share of all changes lies, for each share (1 for all of them)."""
    gains = np.concatenate(
        [proposal.gain[proposal.gain > 0].ravel() for proposal in proposals] or [np.zeros(0)]
    )
    if not gains.size:
        return [0.0 for _ in shares]
    ordered = np.sort(gains)[::-1]
    found = []
    for share in shares:
        count = round(share * len(ordered))
        found.append(float(ordered[count]) if count < len(ordered) else 0.0)
    return found
