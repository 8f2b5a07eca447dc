"""What was promised, held against the exported file: every number here is read from the .tflite itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from edgepack.records import Claim, Invariant, TensorSpec
from edgepack.tflite.adopt import interface
from edgepack.tflite.arithmetic import computing_float_ops, foreign_ops
from edgepack.tflite.model import Array, Model
from edgepack.tflite.weights import Found, in_place, match

GATES = {"LSTM": (4,), "GRU": (3,), "Bidirectional": (4, 3), "RNN": (4, 3)}
"""Into how many gates the converter may cut the kernels of a layer; of a wrapper, whatever cell it holds."""
ROUNDING = 1e-9
UNQUANTIZED = frozenset({"uint8", "int16", "int32", "int64", "bool"})
"""Without a scale these are numbers as they are: an input that was integer in Keras, or an argmax."""


class Kernel(Protocol):
    """What is asked of a kernel; `facts.Kernel` is one."""

    @property
    def role(self) -> str: ...
    @property
    def array(self) -> Array: ...
    @property
    def channel_axes(self) -> tuple[int, ...]: ...


class Facts(Protocol):
    """What is asked of a layer; `facts.LayerFacts` is one."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def kernels(self) -> Sequence[Kernel]: ...
    @property
    def config(self) -> Mapping[str, Any]: ...


def check(
    claims: Sequence[Claim], facts: Sequence[Facts], model: Model, *, searched: Model | None = None
) -> list[Invariant]:
    """Tests the stages' claims on the file.

    Args:
      claims: with `wanted` settled.
      facts: of the final candidate's layers, with their kernels: what is looked for in the file.
      model: the exported file.
      searched: a file with the same tensors in which the kernels are found by their content, where those of `model` are
        another release's; `model` itself where None.

    Returns:
      One `Invariant` per claim, in order. A kernel that cannot be found again does not hold, with the reason.
    """
    layers = {layer.name: layer for layer in facts}
    found: dict[tuple[str, str], tuple[Found, ...]] = {}
    results = []
    for claim in claims:
        layer = layers.get(claim.layer)
        kernel = (
            next((kernel for kernel in layer.kernels if kernel.role == claim.role), None) if layer else None
        )
        if layer is None or kernel is None:
            results.append(_missing(claim, f"layer {claim.layer!r} has no {claim.role} in the final model"))
            continue
        key = (claim.layer, claim.role)
        if key not in found:
            found[key] = _located(layer, kernel, model, searched)
        if not found[key]:
            reason = (
                f"the {claim.role} of layer {claim.layer!r} was not found again among the file's constants"
            )
            results.append(_missing(claim, reason))
        else:
            results.append(_tested(claim, kernel, found[key]))
    return results


def _located(layer: Facts, kernel: Kernel, model: Model, searched: Model | None) -> tuple[Found, ...]:
    if searched is None:
        return locate(layer, kernel, model)
    moved = [in_place(part, model) for part in locate(layer, kernel, searched)]
    return tuple(part for part in moved if part is not None) if None not in moved else ()


def locate(layer: Facts, kernel: Kernel, model: Model) -> tuple[Found, ...]:
    """The constants that hold a kernel; () when it is not in the file."""
    groups = layer.config.get("groups", 1)
    for pieces in GATES.get(layer.kind, (groups if isinstance(groups, int) else 1,)):
        found = match(kernel.array, kernel.channel_axes, model, layer=layer.name, pieces=pieces)
        if found:
            return found
    return ()


def check_model(
    model: Model,
    *,
    scheme: str,
    input_type: str,
    output_type: str,
    allow_float: bool,
    allow_select_ops: bool,
    ids: Sequence[str] = (),
) -> list[Invariant]:
    """Tests what holds for the whole model: inputs and outputs as asked, built-in ops, integer arithmetic.

    Args:
      ids: inputs that hold ids: int32, or float32 where they hold other numbers too, whatever is asked.
    """
    results = []
    integer = scheme in ("int8", "int16x8")
    if integer and not allow_float:
        inputs, outputs = interface(model)
        for spec in inputs:
            results.append(_input(spec, _io(input_type, scheme), spec.name in ids))
        for spec in outputs:
            wanted = _io(output_type, scheme)
            holds = spec.dtype == wanted or (spec.dtype in UNQUANTIZED and spec.scale is None)
            results.append(_typed(f"output {spec.name}", wanted, spec.dtype, holds))
        results.append(_integer(model))
    if not allow_select_ops:
        foreign = foreign_ops(model)
        results.append(
            Invariant(
                layer="",
                kind="built-in ops only",
                wanted="none other",
                found=", ".join(foreign) or "none other",
                holds=not foreign,
                reason="" if not foreign else "set [quantize] allow_select_ops = true, or replace the layer",
            )
        )
    return results


def _integer(model: Model) -> Invariant:
    floats = computing_float_ops(model)
    listed = ", ".join(name if count == 1 else f"{name} ×{count}" for name, count in floats.items())
    return Invariant(
        layer="",
        kind="integer arithmetic",
        wanted="no float op",
        found=listed or "no float op",
        holds=not floats,
        reason=""
        if not floats
        else "set [quantize] allow_float = true where the device can compute with floats",
    )


def _input(spec: TensorSpec, asked: str, holds_ids: bool) -> Invariant:
    if holds_ids:
        exact = spec.scale is None
        return _typed(f"input {spec.name}", "ids, not quantized", spec.dtype, exact)
    # An input that was integer in Keras already stays what it is.
    holds = spec.dtype == asked or (spec.dtype in UNQUANTIZED and spec.scale is None)
    return _typed(f"input {spec.name}", asked, spec.dtype, holds)


def _typed(where: str, wanted: str, found: str, holds: bool) -> Invariant:
    return Invariant(layer="", kind=where, wanted=wanted, found=found, holds=holds)


def _io(asked: str, scheme: str) -> str:
    return "int16" if scheme == "int16x8" and asked == "int8" else asked


def _missing(claim: Claim, reason: str) -> Invariant:
    wanted = claim.wanted if claim.wanted is not None else "unknown"
    return Invariant(
        layer=claim.layer, kind=claim.kind, wanted=wanted, found=None, holds=False, reason=reason
    )


def _tested(claim: Claim, kernel: Kernel, parts: tuple[Found, ...]) -> Invariant:
    if claim.wanted is None:
        return _missing(claim, f"what the stage promised for layer {claim.layer!r} was never settled")
    if claim.kind == "sparsity":
        found = sum(part.zeros for part in parts) / sum(part.stored.size for part in parts)
        holds = found >= claim.wanted - ROUNDING
    elif claim.kind == "clusters":
        found = float(_distinct(claim, parts))
        holds = found <= claim.wanted
    else:
        found = float(sum(part.stored.shape[0] for part in parts))
        holds = found <= claim.wanted
    return Invariant(layer=claim.layer, kind=claim.kind, wanted=claim.wanted, found=found, holds=holds)


def _distinct(claim: Claim, parts: tuple[Found, ...]) -> int:
    """Distinct values of a layer can only be counted on one common grid; with a grid per channel each channel
    counts."""
    one_grid = all(
        part.tensor.quantization is None or not part.tensor.quantization.per_channel for part in parts
    )
    if claim.per == "layer" and one_grid:
        return max(part.distinct for part in parts)
    return max(part.most_distinct for part in parts)
