"""Which kernels read a tensor as the left side of a matrix product, so that a scale before them is theirs to take.

x diag(γ) W + β W = x W' + b' with W' = diag(γ) W, b' = b + β W, over the kernel's input axis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.gate.graph import Call, Graph, Layer, Ref, refs_in

Array = npt.NDArray[Any]
Readers = dict[str, frozenset[str]]
"""Layer → its kernels (roles of `edgepack.gate.facts`) that read the tensor."""

_TRANSPARENT: Final = frozenset({"Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"})
_ATTENTION: Final = ("query", "value", "key")
"""Positional arguments of MultiHeadAttention."""
_WEIGHTS: Final = ("query", "key", "value", "output")
"""Its weights in order, each followed by its bias where there are biases."""


def readers(graph: Graph, number: int, consumer: int) -> Readers | None:
    """What takes a scale of ``calls[number]`` along the branch that begins with its reader `consumer`.

    Dropout between is looked through.

    Returns:
      None where anything on the branch needs the tensor as it is.
    """
    call = graph.calls[consumer]
    layer = graph.layers[call.layer]
    if graph.calls_of(layer.name) != 1:
        return None
    linear = layer.kind == "Activation" and layer.config.get("activation", "linear") == "linear"
    if layer.kind in _TRANSPARENT or linear:
        if any(ref.call == consumer for _, ref in graph.outputs):
            return None
        found: Readers = {}
        for following in graph.consumers(consumer):
            branch = readers(graph, consumer, following)
            if branch is None:
                return None
            found = joined(found, branch)
        return found
    roles = _roles(call, layer, number)
    return {layer.name: roles} if roles else None


def joined(first: Readers, second: Readers) -> Readers:
    """Both together.

    Example:
      >>> sorted(joined({"a": frozenset({"query"})}, {"a": frozenset({"key"})})["a"])
      ['key', 'query']
    """
    return first | {name: roles | first.get(name, frozenset()) for name, roles in second.items()}


def _roles(call: Call, layer: Layer, number: int) -> frozenset[str]:
    read = Ref(number)
    if layer.kind == "MultiHeadAttention":
        named = dict(zip(_ATTENTION, call.args, strict=False)) | call.kwargs
        if named.get("key") is None:
            named["key"] = named.get("value")
        other = [value for name, value in named.items() if name not in _ATTENTION]
        if len(call.args) > len(_ATTENTION) or read in refs_in(other):
            return frozenset()
        return frozenset(name for name in _ATTENTION if named.get(name) == read)
    takes = layer.kind == "Dense" or (layer.kind == "EinsumDense" and _plain_einsum(layer.config))
    return frozenset({"kernel"}) if takes and call.args == (read,) else frozenset()


def _plain_einsum(config: Mapping[str, Any]) -> bool:
    """Whether the kernel has the last input axis, and no other, in common with the input, summed away.

    Example:
      >>> _plain_einsum({"equation": "abc,cde->abde", "bias_axes": "de"})
      True
      >>> _plain_einsum({"equation": "abcd,cde->abe", "bias_axes": "e"})
      False
    """
    source, kernel, output = _terms(config["equation"])
    columns = _columns(config["equation"])
    plain = [letter for letter in kernel if letter in source] == [source[-1]] and source[-1] not in output
    return plain and output.endswith(columns) and config.get("bias_axes") in (None, "", columns)


def _terms(equation: str) -> tuple[str, str, str]:
    operands, _, output = equation.replace(" ", "").partition("->")
    source, _, kernel = operands.partition(",")
    return source, kernel, output


def scaled(layer: Layer, roles: Collection[str], scale: Array, shift: Array) -> Layer:
    """The layer that gives for x what it gave for scale · x + shift in its kernels `roles`.

    Args:
      layer: of a kind that `readers` found.
      roles: kernels that read the scaled tensor.
      scale, shift: float64 [input channels].

    Example:
      >>> dense = Layer(name="d", kind="Dense", config={"use_bias": False}, weights=(np.array([[1.0], [2.0]]),))
      >>> scaled(dense, ["kernel"], np.array([3.0, 4.0]), np.array([1.0, 0.5])).weights
      (array([[3.],
             [8.]], dtype=float32), array([2.], dtype=float32))
    """
    equation = layer.config["equation"] if layer.kind == "EinsumDense" else ""
    order = _WEIGHTS if layer.kind == "MultiHeadAttention" else ("kernel",)
    biased = bool(layer.config.get("bias_axes")) if equation else layer.config.get("use_bias", True)
    kernels = list(layer.weights[:: 2 if biased else 1])
    biases: list[Any] = list(layer.weights[1::2]) if biased else [0.0] * len(kernels)
    for place, role in enumerate(order):
        kernel, read = kernels[place], role in roles
        biases[place] = biases[place] + read * _through(kernel, role, equation, shift)
        kernels[place] = kernel * _along(kernel, equation, scale) if read else kernel
    config = dict(layer.config)
    if not biased and np.any(shift):
        config |= {"bias_axes": _columns(equation)} if equation else {"use_bias": True}
        biased = True
    pairs = zip(kernels, biases, strict=True)
    weights = [weight for pair in pairs for weight in pair] if biased else kernels
    return dataclasses.replace(
        layer, config=config, weights=tuple(np.asarray(weight, np.float32) for weight in weights)
    )


def _columns(equation: str) -> str:
    """The kernel's letters in the output, in the output's order: those of a full bias."""
    _, kernel, output = _terms(equation)
    return "".join(letter for letter in output if letter in kernel)


def _through(kernel: Array, role: str, equation: str, shift: Array) -> Array:
    """What a shift of the input adds to the output, in the shape of the bias; zeros for attention's output."""
    if role == "output":
        return np.zeros(kernel.shape[-1:])
    if not equation:
        return np.tensordot(shift, kernel, axes=1)
    source, letters, _ = _terms(equation)
    return np.einsum(f"{source[-1]},{letters}->{_columns(equation)}", shift, kernel)


def _along(kernel: Array, equation: str, scale: Array) -> Array:
    """`scale` shaped to multiply the kernel's input axis."""
    axis = _terms(equation)[1].index(_terms(equation)[0][-1]) if equation else 0
    return scale.reshape([-1 if place == axis else 1 for place in range(kernel.ndim)])
