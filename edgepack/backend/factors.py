"""One layer → the chain of stock layers that is its low-rank form, as records; needs no TensorFlow.

The whole chain is linear up to its end, so the layer's strides, padding and dilation can be shared out along
the axes on which each factor's kernel is larger than 1; bias and activation belong to the last one. At full
rank the chain computes
what the layer computes, SAME padding included: TensorFlow pads each axis by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from edgepack import errors
from edgepack.gate.graph import Layer
from edgepack.numerics import factorize, forms, tucker

Array: TypeAlias = npt.NDArray[Any]
Rank: TypeAlias = int | tuple[int, int]

FORMS: Final[dict[str, tuple[str, ...]]] = {
    "Dense": ("dense",),
    "Conv1D": ("conv1d", "pointwise"),
    "Conv2D": ("spatial", "across", "channel", "tucker", "pointwise"),
    "SeparableConv1D": ("pointwise",),
    "SeparableConv2D": ("pointwise",),
}
"""Which forms a kind of layer has."""


@dataclass(frozen=True, kw_only=True)
class Factors:
    """A layer's low-rank form.

    Attributes:
      layers: in the order in which they are applied, named `<layer>_reduce`, `<layer>_core`,
        `<layer>_expand`, and `<layer>_depthwise` (with `<layer>_padding` where it was causal) for the
        untouched half of a separable layer.
      rank: as found in the kernels; (inputs, outputs) for "tucker".
      relative_error: ‖W − W_r‖ / ‖W‖ of the kernel in the Frobenius norm, in the factors' own precision.
    """

    layers: tuple[Layer, ...]
    rank: Rank
    relative_error: float


def why_not(layer: Layer) -> str | None:
    """Why a layer has no low-rank form in stock layers; None where it has one.

    Example:
      >>> why_not(Layer(name="a", kind="BatchNormalization", config={}))
      'BatchNormalization has no low-rank form in stock layers'
    """
    if layer.kind not in FORMS:
        return f"{layer.kind} has no low-rank form in stock layers"
    if (groups := _config(layer, "groups", 1)) != 1:
        return f"its {groups} groups are small kernels of their own; factorizing each gives no stock layer"
    return None


def factors(layer: Layer, form: str, rank: Rank) -> Factors:
    """The low-rank form of one layer.

    Args:
      layer: with its weights; `why_not` must be None.
      form: one of ``FORMS[layer.kind]``.
      rank: of the form; (inputs, outputs) for "tucker".

    Raises:
      BadInputError: the layer has no such form, or the rank does not fit its kernel.
    """
    reason = why_not(layer)
    if reason is None and form not in FORMS[layer.kind]:
        reason = f'a {layer.kind} has no form "{form}"; expected {" or ".join(FORMS[layer.kind])}'
    if reason is not None:
        raise errors.BadInputError(f'layer "{layer.name}" cannot be factorized: {reason}')
    _, index = untouched(layer)
    try:
        parts = _split(form, layer.weights[index], rank)
    except errors.BadInputError as error:
        raise errors.BadInputError(f'layer "{layer.name}": {error}') from error
    return assembled(layer, form, parts)


def assembled(layer: Layer, form: str, parts: Sequence[Array]) -> Factors:
    """The low-rank form of a layer from the kernels of its factors.

    Args:
      layer: with the bias that the last factor is to have.
      form: one of ``FORMS[layer.kind]``.
      parts: in the order in which they are applied, laid out as `numerics.factorize` has them.
    """
    before, index = untouched(layer)
    kernel = layer.weights[index]
    names = ("reduce", "core", "expand") if len(parts) == 3 else ("reduce", "expand")
    make = _dense if layer.kind == "Dense" else _convolution
    chain = [make(layer, name, part, strided=index == 0) for name, part in zip(names, parts, strict=True)]
    chain[-1] = _finished(chain[-1], layer, layer.weights[index + 1 :])
    return Factors(
        layers=(*before, *chain),
        rank=parts[0].shape[-1] if len(parts) == 2 else (parts[0].shape[-1], parts[1].shape[-1]),
        relative_error=_relative_error(kernel, _join(form, parts)),
    )


def _split(form: str, kernel: Array, rank: Rank) -> tuple[Array, ...]:
    if form == "tucker":
        return tucker.split_tucker(kernel, (rank, rank) if isinstance(rank, int) else rank)
    if not isinstance(rank, int):
        raise errors.BadInputError(f'rank {list(rank)}: form "{form}" has one rank')
    return factorize.split(cast(forms.Form, form), kernel, rank)


def _join(form: str, parts: Sequence[Array]) -> Array:
    if form == "tucker":
        return tucker.join_tucker(*parts)
    return factorize.join(cast(forms.Form, form), *parts)


def _relative_error(kernel: Array, joined: Array) -> float:
    norm = float(np.linalg.norm(kernel))
    return float(np.linalg.norm(kernel - joined)) / norm if norm > 0 else 0.0


def _dense(layer: Layer, suffix: str, kernel: Array, *, strided: bool) -> Layer:
    config = {"units": kernel.shape[-1], "activation": "linear", "use_bias": False}
    return Layer(name=f"{layer.name}_{suffix}", kind="Dense", config=config, weights=(kernel,))


def _convolution(layer: Layer, suffix: str, kernel: Array, *, strided: bool) -> Layer:
    """A factor: it strides, dilates and pads along the axes where it has the whole kernel's size.

    A stride along an axis of kernel size 1 belongs to the first factor. Where the depthwise half of a
    separable layer has done all that already (`strided` is False), the factors are plain.
    """
    size = kernel.shape[:-2]
    whole = layer.weights[0].shape[:-2]
    strides, dilation = _per_axis(layer, "strides"), _per_axis(layer, "dilation_rate")
    mine = [
        strided and (side > 1 or (full == 1 and suffix == "reduce"))
        for side, full in zip(size, whole, strict=True)
    ]
    config = {
        "filters": kernel.shape[-1],
        "kernel_size": list(size),
        "strides": [stride if own else 1 for stride, own in zip(strides, mine, strict=True)],
        "dilation_rate": [rate if own else 1 for rate, own in zip(dilation, mine, strict=True)],
        "padding": _config(layer, "padding", "valid") if max(size) > 1 else "valid",
        "activation": "linear",
        "use_bias": False,
    }
    kind = layer.kind.removeprefix("Separable")
    return Layer(name=f"{layer.name}_{suffix}", kind=kind, config=config, weights=(kernel,))


def untouched(layer: Layer) -> tuple[list[Layer], int]:
    """The depthwise half of a separable layer as layers of its own, and where the kernel to be split lies."""
    if not layer.kind.startswith("Separable"):
        return [], 0
    depthwise = layer.weights[0]
    padding = _config(layer, "padding", "valid")
    before = []
    if padding == "causal":  # DepthwiseConv1D has no causal padding of its own
        reach = (depthwise.shape[0] - 1) * _per_axis(layer, "dilation_rate")[0]
        before = [Layer(name=f"{layer.name}_padding", kind="ZeroPadding1D", config={"padding": [reach, 0]})]
        padding = "valid"
    config = {
        "kernel_size": list(depthwise.shape[:-2]),
        "strides": _per_axis(layer, "strides"),
        "dilation_rate": _per_axis(layer, "dilation_rate"),
        "padding": padding,
        "depth_multiplier": depthwise.shape[-1],
        "activation": "linear",
        "use_bias": False,
    }
    kind = layer.kind.replace("Separable", "Depthwise")
    before.append(Layer(name=f"{layer.name}_depthwise", kind=kind, config=config, weights=(depthwise,)))
    return before, 1


def _finished(last: Layer, layer: Layer, bias: Sequence[Array]) -> Layer:
    """The last factor with the layer's bias and activation."""
    ending = {"activation": _config(layer, "activation", "linear"), "use_bias": bool(bias)}
    return Layer(name=last.name, kind=last.kind, config=last.config | ending, weights=(*last.weights, *bias))


def _per_axis(layer: Layer, key: str) -> list[int]:
    """A setting with one number per spatial axis, which Keras also takes as one number for all."""
    value = _config(layer, key, 1)
    axes = 1 if layer.kind.endswith("1D") else 2
    return [value] * axes if isinstance(value, int) else list(value)


def _config(layer: Layer, key: str, default: Any) -> Any:
    value = layer.config.get(key)
    return default if value is None else value
