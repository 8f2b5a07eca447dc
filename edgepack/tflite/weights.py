"""Finds a Keras kernel in a .tflite by its content.

Names do not survive conversion (a kernel may be called "tfl.pseudo_qconst7"), values do: up to the layout, up
to one factor per output channel (a folded BatchNormalization, possibly negative) and up to rounding. So every
constant with as many elements is turned to [channels, weights per channel] and compared by the cosine of the
channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edgepack.tflite.model import Array, Model, Tensor
from edgepack.tflite.sizes import is_weight

ALIKE = 0.97
"""Mean |cosine| from which two kernels are the same. Int8 rounding costs 1e-4, int4 about 0.01; strangers of
nine weights per channel reach 0.3."""
TELLING = 3
"""With fewer weights per channel a cosine says nothing: then all channels are compared as one vector."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """One constant that holds a kernel, or one piece of it.

    Attributes:
      tensor: in the file.
      stored: its numbers as [channels, weights per channel]: integers where quantized.
      zero: what stands for 0 in `stored`, per channel [channels, 1].
      likeness: mean |cosine|, 1 for the same direction in every channel.
      axes: of the tensor, that number the channels.
    """

    tensor: Tensor
    stored: Array
    zero: Array
    likeness: float
    axes: tuple[int, ...]

    @property
    def zeros(self) -> int:
        return int((self.stored == self.zero).sum())

    @property
    def most_distinct(self) -> int:
        """Largest number of different values in a channel."""
        return max((len(np.unique(channel)) for channel in self.stored), default=0)

    @property
    def distinct(self) -> int:
        """Different values in the whole tensor."""
        return len(np.unique(self.stored))


def channels_first(kernel: Array, channel_axes: Sequence[int]) -> Array:
    """A kernel as [channels, weights per channel]; one row where it has no channel axes.

    Example:
      >>> channels_first(np.arange(6).reshape(3, 2), (1,)).tolist()
      [[0, 2, 4], [1, 3, 5]]
    """
    rest = [axis for axis in range(kernel.ndim) if axis not in channel_axes]
    channels = math.prod(kernel.shape[axis] for axis in channel_axes)
    return kernel.transpose(*channel_axes, *rest).reshape(channels, -1)


def match(
    kernel: Array, channel_axes: Sequence[int], model: Model, *, layer: str = "", pieces: int = 1
) -> tuple[Found, ...]:
    """The constants that together hold `kernel`.

    Args:
      kernel: float weights in Keras layout.
      channel_axes: axes that number the output channels; () for a table without channels.
      layer: Keras name, which decides between constants of equal content.
      pieces: into how many equal groups of channels the converter may have cut it (4 for an LSTM's gates).

    Returns:
      One `Found` for the whole kernel, or one per piece in order; () when it is not in the file.
    """
    rows = channels_first(np.asarray(kernel, np.float32), channel_axes)
    whole = _best(rows, model, layer)
    if whole is not None or pieces == 1 or rows.shape[0] % pieces:
        return (whole,) if whole is not None else ()
    parts = [_best(part, model, layer) for part in np.split(rows, pieces)]
    return tuple(part for part in parts if part is not None) if None not in parts else ()


def _best(rows: Array, model: Model, layer: str) -> Found | None:
    candidates = [found for found in _candidates(rows, model) if found.likeness >= ALIKE]
    if not candidates:
        return None
    best = max(found.likeness for found in candidates)
    close = [found for found in candidates if found.likeness >= best - 1e-4]
    named = [found for found in close if layer and layer in found.tensor.name]
    return (named or close)[0]


def _candidates(rows: Array, model: Model) -> Iterator[Found]:
    seen: set[tuple[int, tuple[int, ...]]] = set()
    for _, tensor in model.constants():
        if tensor.elements != rows.size or not is_weight(tensor.dtype, tensor.quantization is not None):
            continue
        assert tensor.constant is not None
        if (tensor.constant, tensor.shape) in seen:
            continue
        seen.add((tensor.constant, tensor.shape))
        real, stored = model.real(tensor), model.value(tensor)
        if real is None or stored is None:
            continue
        for axes in _layouts(tensor, rows.shape[0]):
            likeness = _likeness(rows, channels_first(real, axes))
            zero = _zero(tensor, axes, rows.shape[0])
            yield Found(
                tensor=tensor, stored=channels_first(stored, axes), zero=zero, likeness=likeness, axes=axes
            )


def in_place(found: Found, model: Model) -> Found | None:
    """What another file with the same tensors has where a kernel was found; None where it has no such constant."""
    tensors = model.main.tensors
    tensor = tensors[found.tensor.index] if found.tensor.index < len(tensors) else None
    stored = model.value(tensor) if tensor is not None else None
    if tensor is None or stored is None or tensor.shape != found.tensor.shape:
        return None
    rows = channels_first(stored, found.axes)
    zero = _zero(tensor, found.axes, len(rows))
    return Found(tensor=tensor, stored=rows, zero=zero, likeness=found.likeness, axes=found.axes)


def _layouts(tensor: Tensor, channels: int) -> Iterator[tuple[int, ...]]:
    """Which axes may number the channels: one of the right size, or the first few together."""
    if channels == 1:
        yield ()
        return
    for axis, size in enumerate(tensor.shape):
        if size == channels:
            yield (axis,)
    for last in range(2, len(tensor.shape) + 1):
        if math.prod(tensor.shape[:last]) == channels and 1 not in tensor.shape[:last]:
            yield tuple(range(last))


def _likeness(rows: Array, others: Array) -> float:
    if rows.shape[1] < TELLING:
        rows, others = rows.reshape(1, -1), others.reshape(1, -1)
    lengths = np.linalg.norm(rows, axis=1)
    other_lengths = np.linalg.norm(others, axis=1)
    products = np.abs(np.einsum("cw,cw->c", rows, others))
    both = lengths * other_lengths
    cosine = np.where(both > 0, products / np.where(both > 0, both, 1), 0.0)
    # A channel pruned to nothing, or whose norm rounds away, is silent: it neither speaks for nor against.
    silent = (lengths == 0) | ((other_lengths == 0) & (lengths < 0.02 * lengths.max(initial=0.0)))
    telling = ~silent
    if not telling.any():
        return 1.0 if not np.any(others) else 0.0
    # Weighted by energy, so that a faint channel that per-tensor rounding blurred does not veto.
    return float(np.average(cosine[telling], weights=lengths[telling]))


def _zero(tensor: Tensor, axes: tuple[int, ...], channels: int) -> Array:
    quantization = tensor.quantization
    if quantization is None or tensor.dtype in ("float32", "float16"):
        return np.zeros((1, 1), np.float32)
    if quantization.per_channel and axes == (quantization.axis,):
        return quantization.zero_point.reshape(channels, 1)
    return quantization.zero_point[:1].reshape(1, 1)
