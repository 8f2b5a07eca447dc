"""Looks inside a .tflite while it runs: ranges and channels of its tensors, and how far they lie from another's.

Asked for in the parent; `tensors_here` does the work in the interpreter's child.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from edgepack.runtime.client import DEFAULT_TIMEOUT_S, ask

if TYPE_CHECKING:
    from edgepack.data.dataset import Dataset

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What one tensor held over all samples.

    Attributes:
      histogram: counts over equal bins from `low` to `high`, int64 [bins].
      channel_low, channel_high, channel_mean, channel_square: per position of the last axis, float64 [channels]; one
        channel for tensors without a second axis. The square is the mean of the squares.
    """

    histogram: Array
    channel_low: Array
    channel_high: Array
    channel_mean: Array
    channel_square: Array

    @property
    def low(self) -> float:
        return float(self.channel_low.min()) if self.channel_low.size else 0.0

    @property
    def high(self) -> float:
        return float(self.channel_high.max()) if self.channel_high.size else 0.0

    @property
    def reach(self) -> Array:
        """Largest absolute value of each channel."""
        return np.maximum(np.abs(self.channel_low), np.abs(self.channel_high))


def observe(
    model: Path,
    dataset: Dataset,
    tensors: Sequence[int],
    scratch: Path,
    *,
    floors: Mapping[str, float] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> dict[int, Observed]:
    """Runs a model over samples and looks at some of its tensors, as they are stored.

    Args:
      model: .tflite with a batch of 1; of a quantized one the integers are seen.
      dataset: samples.
      tensors: their numbers in the first subgraph.
      scratch: existing directory for the answer.
      floors: input name → value that samples are raised to, where a mask's sentinel would ruin the range.
      timeout_s: of the child.

    Raises:
      ModelError, DataError, StorageError, ChildCrashError.
    """
    target = scratch / "observed.npz"
    arguments = {
        "model": str(model.absolute()),
        "dataset": dataset.to_json(),
        "tensors": list(tensors),
        "floors": dict(floors or {}),
        "target": str(target.absolute()),
    }
    ask("observe", arguments, timeout_s=timeout_s)
    with np.load(target, allow_pickle=False) as found:
        seen = {
            index: Observed(**{name: found[f"{index}/{name}"] for name in Observed.__dataclass_fields__})
            for index in tensors
        }
    target.unlink()
    return seen


@dataclass(frozen=True, kw_only=True)
class Noise:
    """What two models' tensors differ by.

    Attributes:
      signal, noise: mean square over samples and positions summed: of the reference, of the difference.
    """

    signal: float
    noise: float

    @property
    def ratio(self) -> float:
        """Noise over signal; infinite where there is only noise."""
        return self.noise / self.signal if self.signal else (float("inf") if self.noise else 0.0)


def compare(
    reference: Path,
    model: Path,
    dataset: Dataset,
    pairs: Sequence[tuple[int, int]],
    *,
    floors: Mapping[str, float] | None = None,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> list[Noise]:
    """Runs a float model and its quantized form on the same samples, and compares their tensors as real numbers.

    Args:
      reference, model: .tflite files with a batch of 1.
      pairs: (tensor of the reference, tensor of the model), numbers in their first subgraphs.
      dataset, floors, timeout_s: as in `observe`.

    Raises:
      ModelError, DataError, ChildCrashError.
    """
    arguments = {
        "reference": str(reference.absolute()),
        "model": str(model.absolute()),
        "dataset": dataset.to_json(),
        "pairs": [list(pair) for pair in pairs],
        "floors": dict(floors or {}),
    }
    found = ask("compare_tensors", arguments, timeout_s=timeout_s)
    return [
        Noise(signal=signal, noise=noise)
        for signal, noise in zip(found["signal"], found["noise"], strict=True)
    ]
