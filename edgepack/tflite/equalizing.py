"""Cross-layer equalization of a calibrated float model: channels between two layers brought to like ranges.

On the float model that the converter is about to quantize, because there every BatchNormalization is folded and every
activation fused, whatever Keras layers they came from.

Source: Nagel et al. (2019), arXiv 1906.04721, section 4.1; where kernels have one scale per channel, the activations
take the place of the first kernel, as in Xiao et al. (2023), "SmoothQuant", arXiv 2211.10438, equation 4.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.numerics import equalization
from edgepack.tflite.calibrated import Calibrated, Weighted

Array = npt.NDArray[Any]
CHANNELWISE: Final = frozenset(
    {"MAX_POOL_2D", "AVERAGE_POOL_2D", "MEAN", "PAD", "RELU", "LEAKY_RELU", "RESHAPE", "SQUEEZE", "EXPAND_DIMS",
     "SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"}
)  # fmt: skip
"""Ops that commute with a factor per channel, as long as the channels stay the last axis."""
CEILINGS: Final = {"NONE": None, "RELU": None, "RELU6": 6.0}
SWEEPS: Final = 8
"""Rounds over all pairs: a kernel between two pairs is scaled from both sides."""
SETTLED: Final = 1e-3
ZEROS: Final = 0.05
"""Share of zeros from which a kernel counts as pruned."""
DISTINCT: Final = 0.5
"""Distinct values per weight of a channel below which a kernel counts as clustered or rounded."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two layers with nothing between them but what commutes with a factor per channel.

    Attributes:
      between: the first layer's output; channels: how many it has.
    """

    first: Weighted
    second: Weighted
    between: int
    channels: int


def pairs(model: Calibrated) -> Iterator[Pair]:
    """Every pair of layers that can be equalized, in running order."""
    kernels = {weighted.op: weighted for weighted in model.weighted()}
    for first in kernels.values():
        if first.activation not in CEILINGS or len(model.readers(first.kernel)) > 1:
            continue
        channels = model.shape(first.output)[-1]
        second = _next(model, first.output, channels, kernels)
        if second is None or len(model.readers(second.kernel)) > 1:
            continue
        if _input_channels(model, second) % channels == 0:
            yield Pair(first=first, second=second, between=first.output, channels=channels)


def _next(model: Calibrated, tensor: int, channels: int, kernels: Mapping[int, Weighted]) -> Weighted | None:
    """The layer that alone reads a tensor, perhaps through ops that commute with a factor per channel."""
    while True:
        readers = model.readers(tensor)
        if len(readers) != 1 or tensor in model.outputs:
            return None
        weighted = kernels.get(readers[0])
        if weighted is not None:
            return weighted if weighted.source == tensor else None
        op, kind = model.ops[readers[0]], model.kind(readers[0])
        if kind not in CHANNELWISE or int(op.inputs[0]) != tensor:
            return None
        if getattr(op.builtinOptions, "fusedActivationFunction", 0) not in (0, 1):  # NONE, RELU
            return None
        tensor = int(op.outputs[0])
        shape = model.shape(tensor)
        flattened = kind == "RESHAPE" and len(shape) == 2 and shape[-1] % channels == 0
        if not shape or (shape[-1] != channels and not flattened):
            return None


def _input_channels(model: Calibrated, layer: Weighted) -> int:
    shape = model.shape(layer.source if layer.kind == "DEPTHWISE_CONV_2D" else layer.kernel)
    return shape[-1]


def equalize(
    model: Calibrated,
    reach: Mapping[int, tuple[Array, Array]],
    *,
    per_tensor: bool,
    frozen: Callable[[str], bool] = lambda name: False,
) -> list[Pair]:
    """Equalizes every pair in place; the model computes the same function, but its ranges are to be found anew.

    Args:
      model: calibrated float model.
      reach: per tensor the smallest and largest value of each channel, as samples showed them.
      per_tensor: kernels will have one scale (their own ranges are then balanced), not one per output channel (then
        the activations are).
      frozen: whether the layer that computes the tensor of a name must keep its weights.

    Returns:
      The pairs that were changed.
    """
    model.separate()
    changed: dict[int, Pair] = {}
    reaches = {tensor: (low.copy(), high.copy()) for tensor, (low, high) in reach.items()}
    able = [
        pair
        for pair in pairs(model)
        if pair.between in reaches
        and len(reaches[pair.between][0]) == pair.channels
        and not any(frozen(name) for layer in (pair.first, pair.second) for name in _names(model, layer))
        and not any(
            _shaped(_constant(model, layer), layer.output_axis) for layer in (pair.first, pair.second)
        )
    ]
    for _ in range(SWEEPS):
        moved = 0.0
        for pair in able:
            factors = _factors(model, pair, reaches[pair.between], per_tensor=per_tensor)
            step = float(np.abs(np.log(factors)).max(initial=0.0))
            if step > SETTLED:
                _scale(model, pair, factors)
                low, high = reaches[pair.between]
                reaches[pair.between] = (low / factors, high / factors)
                changed[pair.between] = pair
            moved = max(moved, step)
        if moved <= SETTLED:
            break
    return list(changed.values())


def _names(model: Calibrated, layer: Weighted) -> tuple[str, str]:
    """What a layer's output is called; that of a model's output has lost the layer's name."""
    return model.name(layer.output), model.spoken(layer.output)


def _shaped(kernel: Array, axis: int) -> bool:
    """Whether a kernel was pruned, clustered or rounded: its zeros and repeated values are not to be stretched."""
    rows = np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)
    rows = rows[np.any(rows != 0.0, axis=1)]  # a dead channel says nothing
    if not rows.size:
        return False
    distinct = np.mean([len(np.unique(row)) for row in rows]) / rows.shape[1]
    return bool(np.mean(rows == 0.0) > ZEROS or distinct < DISTINCT)


def _factors(model: Calibrated, pair: Pair, ends: tuple[Array, Array], *, per_tensor: bool) -> Array:
    activations = np.maximum(np.abs(ends[0]), np.abs(ends[1]))
    first, second = _constant(model, pair.first), _constant(model, pair.second)
    incoming = _incoming(np.abs(second), pair)
    if per_tensor:
        axes = tuple(axis for axis in range(first.ndim) if axis != pair.first.output_axis)
        factors = equalization.balanced(np.abs(first).max(axis=axes), incoming)
    elif pair.second.kind == "DEPTHWISE_CONV_2D":
        factors = equalization.levelled(activations)
    else:
        factors = equalization.balanced(activations, incoming)
    factors = np.where(activations > 0.0, factors, 1.0)
    ceiling = CEILINGS[pair.first.activation]
    return factors if ceiling is None else equalization.below_ceiling(factors, ends[1], ceiling)


def _constant(model: Calibrated, layer: Weighted) -> Array:
    kernel = model.constant(layer.kernel)
    assert kernel is not None  # `Calibrated.weighted` asked for it
    return kernel.astype(np.float64)


def _incoming(magnitudes: Array, pair: Pair) -> Array:
    """Largest weight of the second kernel that each channel meets."""
    if pair.second.kind == "DEPTHWISE_CONV_2D":
        largest: Array = magnitudes.max(axis=(0, 1, 2)).reshape(pair.channels, -1).max(axis=1)
        return largest
    # A flattened map has the channels innermost: input k belongs to channel k mod channels.
    per_input = magnitudes.max(axis=tuple(range(magnitudes.ndim - 1)))
    whole: Array = per_input.reshape(-1, pair.channels).max(axis=0)
    return whole


def _scale(model: Calibrated, pair: Pair, factors: Array) -> None:
    first, second = _constant(model, pair.first), _constant(model, pair.second)
    shape = [1] * first.ndim
    shape[pair.first.output_axis] = -1
    model.set_constant(pair.first.kernel, first / factors.reshape(shape))
    if pair.first.bias is not None:
        bias = model.constant(pair.first.bias)
        assert bias is not None
        model.set_constant(pair.first.bias, bias / factors)
    repeats = second.shape[-1] // pair.channels
    depthwise = pair.second.kind == "DEPTHWISE_CONV_2D"
    incoming = np.repeat(factors, repeats) if depthwise else np.tile(factors, repeats)
    model.set_constant(pair.second.kernel, second * incoming)


def frozen_layers(names: Collection[str]) -> Callable[[str], bool]:
    """A test for `equalize`: whether a tensor's name holds one of these Keras layers as a path component.

    Example:
      >>> frozen_layers({"conv"})("model/conv/BiasAdd;model/relu/Relu"), frozen_layers({"conv"})("model/conv_1/BiasAdd")
      (True, False)
    """

    def test(name: str) -> bool:
        return any(part in names for path in name.split(";") for part in path.split("/"))

    return test
