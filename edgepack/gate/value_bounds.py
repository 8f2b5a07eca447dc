"""Between which values each channel of every tensor can lie, whatever the input: interval arithmetic over the graph.

A channel whose bounds are equal is a constant: a kernel of zeros, a normalization with scale 0, or a sum that never
gets above zero in front of a ReLU. What is not understood may be anything.

Source: Moore (1966), "Interval analysis", natural interval extension.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.gate import recurrent_bounds
from edgepack.gate.activation_bounds import MONOTONE, activated, relu_layer
from edgepack.gate.coupling_rules import Shape, passes_each, repeats
from edgepack.gate.couplings import CallShapes
from edgepack.gate.graph import INPUT_KIND, Call, Graph, Layer

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bounds:
    """Smallest and largest value of each channel, float64 [channels] each."""

    low: Array
    high: Array

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """Which channels have one value only."""
        return np.asarray((self.low == self.high) & np.isfinite(self.low))


def unknown(width: int) -> Bounds:
    """Channels that may be anything."""
    return Bounds(np.full(width, -np.inf), np.full(width, np.inf))


def bounds(graph: Graph, shapes: CallShapes) -> list[Bounds]:
    """Bounds of the last axis of each call's first output.

    Args:
      graph: with weights.
      shapes: of every call's outputs, batch first.
    """
    found: list[Bounds] = []
    for number, call in enumerate(graph.calls):
        layer, shape = graph.layers[call.layer], shapes[number][0]
        width = (shape[-1] if shape else None) or 0
        refs = list(call.refs())
        result = None
        if layer.kind != INPUT_KIND and all(ref.output == 0 for ref in refs):
            befores = [shapes[ref.call][ref.output] for ref in refs]
            result = _of_call(layer, call, [found[ref.call] for ref in refs], befores, shape)
        found.append(result if result is not None and len(result.low) == width else unknown(width))
    return found


def _of_call(
    layer: Layer, call: Call, given: Sequence[Bounds], befores: Sequence[Shape], after: Shape
) -> Bounds | None:
    if len(given) != 1:
        return _joined(layer, given, befores)
    one = given[0]
    if layer.kind == "TimeDistributed":
        inside = dataclasses.replace(
            layer, kind=layer.config["layer"]["kind"], config=layer.config["layer"]["config"]
        )
        return _of_call(inside, call, given, [(None, *befores[0][2:])], (None, *after[2:]))
    if layer.kind in _LINEAR:
        return _activated(_LINEAR[layer.kind](layer, one), layer)
    if layer.kind == "BatchNormalization":
        return _scaled(one, *_affine(layer)) if passes_each(layer, call, befores[0]) else None
    if layer.kind in recurrent_bounds.KINDS:
        return Bounds(*recurrent_bounds.bounds(layer))
    if layer.kind == "Embedding":
        table = layer.weights[0].astype(np.float64)
        return Bounds(table.min(axis=0), table.max(axis=0))
    if layer.kind in ("Flatten", "Reshape"):
        times = repeats(befores[0], after)
        return None if times is None else Bounds(np.tile(one.low, times), np.tile(one.high, times))
    if layer.kind.startswith("ZeroPadding") or layer.kind == "Masking":
        return _or_zero(one)
    return _elementwise(layer, call, one, befores[0])


def _elementwise(layer: Layer, call: Call, one: Bounds, before: Shape) -> Bounds | None:
    if layer.kind == "Activation":
        return _activated(one, layer)
    if layer.kind in ("ReLU", "LeakyReLU", "ELU", "PReLU", "ThresholdedReLU"):
        found = relu_layer(layer, one.low, one.high)
        return None if found is None else Bounds(*found)
    if layer.kind == "Operation":
        name = str(layer.config.get("operation")).rpartition(".")[2]
        if name in MONOTONE and len(call.args) == 1 and not call.kwargs:
            return Bounds(*activated(name, one.low, one.high))
        return None
    return one if passes_each(layer, call, before) else None


def _joined(layer: Layer, given: Sequence[Bounds], befores: Sequence[Shape]) -> Bounds | None:
    if layer.kind == "Concatenate":
        if layer.config.get("axis", -1) % len(befores[0]) == len(befores[0]) - 1:
            return Bounds(
                np.concatenate([each.low for each in given]), np.concatenate([each.high for each in given])
            )
        return Bounds(np.min([each.low for each in given], 0), np.max([each.high for each in given], 0))
    join = _JOINS.get(layer.kind) or _JOINS.get(str(layer.config.get("operation")))
    if join is None or not given:
        return None
    result = given[0]
    for each in given[1:]:
        result = join(result, each)
    if layer.kind == "Average":
        result = Bounds(result.low / len(given), result.high / len(given))
    return result


def _sum(one: Bounds, other: Bounds) -> Bounds:
    return Bounds(one.low + other.low, one.high + other.high)


def _product(one: Bounds, other: Bounds) -> Bounds:
    corners = [_times(a, b) for a in (one.low, one.high) for b in (other.low, other.high)]
    return Bounds(np.min(corners, axis=0), np.max(corners, axis=0))


def _times(one: Array, other: Array) -> Array:
    """Product in which 0 times a bound at infinity is 0: no value of a tensor is infinite."""
    finite = np.nan_to_num(one, posinf=0.0, neginf=0.0) * np.nan_to_num(other, posinf=0.0, neginf=0.0)
    signs = np.sign(one) * np.sign(other)
    infinite = np.isinf(one) | np.isinf(other)
    return np.where(infinite & (signs > 0), np.inf, np.where(infinite & (signs < 0), -np.inf, finite))


_JOINS: Final[dict[str, Callable[[Bounds, Bounds], Bounds]]] = {
    "Add": _sum,
    "Average": _sum,
    "Subtract": lambda one, other: Bounds(one.low - other.high, one.high - other.low),
    "Multiply": _product,
    "Maximum": lambda one, other: Bounds(np.maximum(one.low, other.low), np.maximum(one.high, other.high)),
    "Minimum": lambda one, other: Bounds(np.minimum(one.low, other.low), np.minimum(one.high, other.high)),
    "tf/math.add": _sum,
    "tf/__operators__.add": _sum,
    "tf/math.multiply": _product,
}


def _activated(given: Bounds | None, layer: Layer) -> Bounds | None:
    value = layer.config.get("activation", "linear")
    if given is None:
        return None
    return Bounds(*activated(value, given.low, given.high))


def _or_zero(given: Bounds) -> Bounds:
    return Bounds(np.minimum(given.low, 0.0), np.maximum(given.high, 0.0))


def _affine(layer: Layer) -> tuple[Array, Array]:
    """Scale and shift of a BatchNormalization when predicting."""
    weights = [np.asarray(weight, np.float64) for weight in layer.weights]
    gamma = weights[0] if layer.config.get("scale", True) else np.ones_like(weights[-1])
    beta = weights[-3] if layer.config.get("center", True) else np.zeros_like(weights[-1])
    scale = gamma / np.sqrt(weights[-1] + float(layer.config.get("epsilon", 1e-3)))
    return scale, beta - scale * weights[-2]


def _scaled(given: Bounds, scale: Array, shift: Array) -> Bounds:
    ends = _times(given.low, scale), _times(given.high, scale)
    return Bounds(np.minimum(*ends) + shift, np.maximum(*ends) + shift)


def _dense(layer: Layer, given: Bounds) -> Bounds | None:
    kernel = layer.weights[0].astype(np.float64)
    if layer.config.get("groups", 1) != 1 or kernel.shape[-2] != len(given.low):
        return None
    return _weighted(kernel, given, layer, padded=pads(layer))


def _transposed(layer: Layer, given: Bounds) -> Bounds | None:
    # How many taps meet a position depends on where it lies, so any of them may be missing.
    return _weighted(np.swapaxes(layer.weights[0], -1, -2).astype(np.float64), given, layer, padded=True)


def _depthwise(layer: Layer, given: Bounds) -> Bounds | None:
    kernel = layer.weights[0].astype(np.float64)
    return _biased(_by_channel(kernel, _or_zero(given) if pads(layer) else given), layer)


def _separable(layer: Layer, given: Bounds) -> Bounds | None:
    between = _by_channel(layer.weights[0].astype(np.float64), _or_zero(given) if pads(layer) else given)
    return _weighted(layer.weights[1].astype(np.float64), between, layer, padded=False)


def _by_channel(kernel: Array, given: Bounds) -> Bounds:
    """Sum over the taps of a depthwise kernel [taps …, channels, multiplier], channels · multiplier values."""
    taps = kernel.reshape(-1, *kernel.shape[-2:])
    ends = _times(taps, given.low[:, None]), _times(taps, given.high[:, None])
    return Bounds(np.minimum(*ends).sum(axis=0).reshape(-1), np.maximum(*ends).sum(axis=0).reshape(-1))


def _weighted(kernel: Array, given: Bounds, layer: Layer, *, padded: bool) -> Bounds:
    """Sum over taps and inputs of a kernel [taps …, inputs, outputs]."""
    given = _or_zero(given) if padded else given
    flat = kernel.reshape(-1, *kernel.shape[-2:])
    more, less = np.maximum(flat, 0.0).sum(axis=0), np.minimum(flat, 0.0).sum(axis=0)
    low = _dot(given.low, more) + _dot(given.high, less)
    high = _dot(given.high, more) + _dot(given.low, less)
    return _biased(Bounds(low, high), layer)


def _dot(ends: Array, weights: Array) -> Array:
    infinite = np.isinf(ends)
    total = np.where(infinite, 0.0, ends) @ weights
    reached = (np.where(infinite, np.sign(ends), 0.0)[:, None] * np.sign(weights)).sum(axis=0)
    return np.where(reached > 0, np.inf, np.where(reached < 0, -np.inf, total))


def _biased(given: Bounds, layer: Layer) -> Bounds:
    if not layer.config.get("use_bias", True):
        return given
    bias = layer.weights[-1].astype(np.float64)
    return Bounds(given.low + bias, given.high + bias)


def pads(layer: Layer) -> bool:
    """Whether a convolution sees zeros beyond the border of its input."""
    size: Any = layer.config.get("kernel_size", 1)
    taps = size if isinstance(size, int) else math.prod(size)
    return layer.config.get("padding", "valid") != "valid" and taps > 1


_LINEAR: Final[dict[str, Callable[[Layer, Bounds], Bounds | None]]] = {
    **dict.fromkeys(("Dense", "Conv1D", "Conv2D", "Conv3D"), _dense),
    **dict.fromkeys(("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _transposed),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), _depthwise),
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), _separable),
}
