"""Two releases of a model held against each other: which constant of the new file is which of the old one."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.tflite.opcodes import builtin_name
from edgepack.tflite.slimming import content

Array = npt.NDArray[Any]

Form: TypeAlias = tuple[str, tuple[int, ...], int]
"""Kind of an op, shape of its kernel, number of its scales."""

WEIGHTED: Final[dict[str, tuple[int, int, int]]] = {
    "CONV_2D": (0, 1, 2),
    "DEPTHWISE_CONV_2D": (0, 1, 2),
    "FULLY_CONNECTED": (0, 1, 2),
    "TRANSPOSE_CONV": (2, 1, 3),
}
"""Ops with a kernel: where their input, kernel and bias stand."""
KERNEL_TYPES: Final[dict[int, np.dtype[Any]]] = {9: np.dtype(np.int8)}
BIAS_TYPES: Final[dict[int, np.dtype[Any]]] = {2: np.dtype(np.int32), 4: np.dtype(np.int64)}
"""Numbers of the schema's `TensorType`: INT8; INT32, INT64."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One quantized constant in both files.

    Attributes:
      graph: subgraph in both.
      new, old: numbers of the tensor.
      role: "kernel" or "bias".
      op: number of the op that reads it, in the new file; kind: its name.
      source, output: tensors of the new file that the op reads and writes; None where the op is of no known form.
      kernel: for a bias, its kernel's number in the new file.
    """

    graph: int
    new: int
    old: int
    role: Literal["kernel", "bias"]
    op: int
    kind: str
    source: int | None
    output: int | None
    kernel: int | None = None


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """What two files have in common.

    Attributes:
      same: whether they are one graph: equal but for constants, scales and zero points.
      left: (number of the op in the new file, its name, why it has no counterpart).
    """

    same: bool
    pairs: tuple[Pair, ...]
    left: tuple[tuple[int, str, str], ...]


def paired(old: Any, new: Any) -> Pairing:
    """Holds two `ModelT` against each other.

    Args:
      old, new: of files that were found sound; `new`'s constants are those that may be written anew.
    """
    same = _skeleton(old) == _skeleton(new)
    if same:
        return Pairing(same=True, pairs=tuple(_once(_all_pairs(old, new))), left=())
    pairs, left = _aligned(old, new)
    return Pairing(same=False, pairs=tuple(_once(iter(pairs))), left=tuple(left))


def op_name(model: Any, op: Any) -> str:
    """Name of an op, such as "CONV_2D"."""
    code = model.operatorCodes[op.opcodeIndex]
    return str(builtin_name(max(code.builtinCode, code.deprecatedBuiltinCode)))


def is_constant(model: Any, tensor: Any) -> bool:
    """Whether a tensor's value stands in the file."""
    data = model.buffers[tensor.buffer].data
    return bool(tensor.buffer) and data is not None and len(data) > 0


def scales(tensor: Any) -> Array:
    """Scales of a tensor, float64; [0] where it is not quantized."""
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None:
        return np.zeros(0)
    return np.asarray(quantization.scale, np.float64)


def _all_pairs(old: Any, new: Any) -> Iterator[Pair]:
    for number, graph in enumerate(new.subgraphs):
        for index, op in enumerate(graph.operators or ()):
            other = old.subgraphs[number].operators[index]
            yield from _pairs_of(old, new, number, index, op, other)


def _aligned(old: Any, new: Any) -> tuple[list[Pair], list[tuple[int, str, str]]]:
    """Ops with kernels of the first subgraphs, in order, matched by kind and by the shapes of their constants."""
    pairs: list[Pair] = []
    left: list[tuple[int, str, str]] = []
    ours, theirs = _forms(new), _forms(old)
    matcher = difflib.SequenceMatcher(
        None, [form for _, form in theirs], [form for _, form in ours], autojunk=False
    )
    matched = {}
    for block in matcher.get_matching_blocks():
        for offset in range(block.size):
            matched[ours[block.b + offset][0]] = theirs[block.a + offset][0]
    for index, form in ours:
        op = new.subgraphs[0].operators[index]
        if index not in matched:
            left.append(
                (
                    index,
                    form[0],
                    f"the previous package has no {form[0]} with a kernel of {list(form[1])} here",
                )
            )
            continue
        other = old.subgraphs[0].operators[matched[index]]
        pairs += _pairs_of(old, new, 0, index, op, other)
    return pairs, left


def _forms(model: Any) -> list[tuple[int, Form]]:
    """(number of the op, (kind, shape of its kernel, numbers of scales)) of every op with a quantized kernel."""
    graph = model.subgraphs[0]
    found: list[tuple[int, Form]] = []
    for index, op in enumerate(graph.operators or ()):
        kind = op_name(model, op)
        if kind not in WEIGHTED or len(op.inputs) <= WEIGHTED[kind][1]:
            continue
        tensor = graph.tensors[int(op.inputs[WEIGHTED[kind][1]])]
        if is_constant(model, tensor) and tensor.type in KERNEL_TYPES:
            found.append((index, (kind, tuple(int(size) for size in tensor.shape), len(scales(tensor)))))
    return found


def _pairs_of(old: Any, new: Any, number: int, index: int, op: Any, other: Any) -> Iterator[Pair]:
    kind = op_name(new, op)
    ours, theirs = new.subgraphs[number].tensors, old.subgraphs[number].tensors
    places = WEIGHTED.get(kind)
    source = int(op.inputs[places[0]]) if places and len(op.inputs) > places[0] else None
    kernel = int(op.inputs[places[1]]) if places else None
    output = int(op.outputs[0]) if len(op.outputs) else None
    for mine, his in zip(_inputs(op), _inputs(other), strict=False):
        if mine < 0 or his < 0 or not _comparable(new, ours[mine], old, theirs[his]):
            continue
        is_kernel = ours[mine].type in KERNEL_TYPES
        yield Pair(
            graph=number,
            new=mine,
            old=his,
            role="kernel" if is_kernel else "bias",
            op=index,
            kind=kind,
            source=source,
            output=output,
            kernel=None if is_kernel else kernel,
        )


def _inputs(op: Any) -> list[int]:
    return [] if op.inputs is None else [int(index) for index in op.inputs]


def _comparable(new: Any, mine: Any, old: Any, his: Any) -> bool:
    """Whether two tensors are quantized constants of one form, with scales that mean something."""
    if not (is_constant(new, mine) and is_constant(old, his)) or mine.type != his.type:
        return False
    if mine.type not in KERNEL_TYPES and mine.type not in BIAS_TYPES:
        return False
    if [int(size) for size in mine.shape] != [int(size) for size in his.shape]:
        return False
    ours, theirs = scales(mine), scales(his)
    if not len(ours) or len(ours) != len(theirs):
        return False
    same_axis = mine.quantization.quantizedDimension == his.quantization.quantizedDimension
    return same_axis and bool(np.isfinite(theirs).all()) and bool((theirs > 0).all())


def _once(pairs: Iterator[Pair]) -> Iterator[Pair]:
    """Each constant once: a kernel that several ops read is one kernel."""
    seen: set[tuple[int, int]] = set()
    for pair in pairs:
        if (pair.graph, pair.new) not in seen:
            seen.add((pair.graph, pair.new))
            yield pair


def _skeleton(model: Any) -> Any:
    """Everything of a model but the values of constants, scales and zero points."""
    return (
        tuple(_graph(model, graph) for graph in model.subgraphs),
        tuple(content(signature) for signature in model.signatureDefs or ()),
    )


def _graph(model: Any, graph: Any) -> Any:
    return (
        tuple(_form(model, tensor) for tensor in graph.tensors or ()),
        tuple(
            (
                op_name(model, op),
                tuple(content(value) for name, value in vars(op).items() if name != "opcodeIndex"),
            )
            for op in graph.operators or ()
        ),
        content(graph.inputs),
        content(graph.outputs),
    )


def _form(model: Any, tensor: Any) -> Any:
    quantization = tensor.quantization
    size = len(model.buffers[tensor.buffer].data) if is_constant(model, tensor) else None
    axis = quantization.quantizedDimension if quantization is not None else None
    return (content(tensor.shape), tensor.type, tensor.isVariable, size, len(scales(tensor)), axis)
