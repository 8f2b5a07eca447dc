"""A .tflite without what says nothing: the same graph, weights and answers in fewer bytes.

Int8 per channel costs 24 bytes per output channel for scales and zero points (filter and bias); tensor names and
copies come on top. Kept, though it looks idle: zero points (the loaders demand them) and the quantization of biases
(XNNPACK would no longer take the op).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from edgepack.tflite.opened import Opened, opened

IDLE_METADATA: Final = frozenset({b"min_runtime_version", b"CONVERSION_METADATA", b"debug_metadata"})
"""What converters note about themselves; no runtime reads it."""
MOVABLE_METADATA: Final = IDLE_METADATA | {b"TFLITE_METADATA", b"reduced_precision_support"}
"""Metadata that number no tensors. Others may (TFLM's memory plan does), so tensors then keep their numbers."""
INPUTS_OF_OPS: Final = ("inputs", "outputs", "intermediates")


def slim(data: bytes) -> bytes:
    """The same model in fewer bytes; `data` itself where nothing can be saved.

    Vectors, tables and buffers of equal content are shared; constants of equal content become one; tensors that no op
    reads are dropped, and so are names (but for inputs, outputs and signatures), descriptions, ranges and empty
    quantization. Buffer data is aligned to 16 bytes. Twice is the same as once.

    Args:
      data: a .tflite, whoever made it.

    Raises:
      DamagedError: not a sound .tflite.
    """
    found = opened(data)
    return data if isinstance(found, str) else slimmed(found)


def slimmed(found: Opened) -> bytes:
    """`slim` of an opened file, whose model is used up."""
    _drop_idle(found.model)
    compact(found.model)
    slimmed = found.closed()
    return slimmed if len(slimmed) < len(found.data) else found.data


def compact(model: Any) -> None:
    """Leaves one of each buffer, constant and operator code in a `ModelT`, and none that nothing reads."""
    share_buffers(model)
    if may_renumber(model):
        for number, graph in enumerate(model.subgraphs):
            _renumber(model, number, graph)
        share_buffers(model)  # again: those of unread tensors go
    _share_codes(model)


def _drop_idle(model: Any) -> None:
    model.description = None
    model.metadataBuffer = None
    model.metadata = [entry for entry in model.metadata or () if entry.name not in IDLE_METADATA] or None
    named = _named(model)
    for number, graph in enumerate(model.subgraphs):
        graph.name = None
        graph.debugMetadataIndex = -1
        for index, tensor in enumerate(graph.tensors or ()):
            if (number, index) not in named:
                tensor.name = None
            if _same(tensor.shapeSignature, tensor.shape):
                tensor.shapeSignature = None
            tensor.quantization = _telling(tensor)
        for op in graph.operators or ():
            op.debugMetadataIndex = -1
            if op.mutatingVariableInputs is not None and not np.any(op.mutatingVariableInputs):
                op.mutatingVariableInputs = None
            if op.intermediates is not None and not len(op.intermediates):
                op.intermediates = None


def _named(model: Any) -> set[tuple[int, int]]:
    """Tensors whose names somebody may ask for: (subgraph, tensor)."""
    main = model.subgraphs[0]
    named = {(0, int(index)) for ends in (main.inputs, main.outputs) if ends is not None for index in ends}
    for signature in model.signatureDefs or ():
        for entry in (*(signature.inputs or ()), *(signature.outputs or ())):
            named.add((signature.subgraphIndex, entry.tensorIndex))
    return named


def _telling(tensor: Any) -> Any:
    """The tensor's quantization without its observed range; None where that was all."""
    quantization = tensor.quantization
    if quantization is None:
        return None
    quantization.min = quantization.max = None
    empty = quantization.scale is None or not len(quantization.scale)
    if empty and quantization.details is None:
        return None
    return quantization


def _same(one: Any, other: Any) -> bool:
    return one is not None and other is not None and list(one) == list(other)


def share_buffers(model: Any) -> None:
    """One buffer per content, and none that nothing names. Buffer 0 stands for "no data"."""
    from ai_edge_litert.schema_py_generated import BufferT

    kept = [BufferT()]
    numbers: dict[bytes, int] = {}

    def number_of(old: int) -> int:
        data = model.buffers[old].data
        if data is None:
            return 0
        content = bytes(data)  # an empty one is a constant without elements, such as the shape of a scalar
        if content not in numbers:
            numbers[content] = len(kept)
            kept.append(model.buffers[old])
        return numbers[content]

    for graph in model.subgraphs:
        for tensor in graph.tensors or ():
            tensor.buffer = number_of(tensor.buffer)
    for entry in model.metadata or ():
        entry.buffer = number_of(entry.buffer)
    model.buffers = kept


def may_renumber(model: Any) -> bool:
    """Whether nothing in the file but graphs and signatures speaks of tensors by their numbers."""
    return all(entry.name in MOVABLE_METADATA for entry in model.metadata or ())


def _renumber(model: Any, number: int, graph: Any) -> None:
    """Gives constants of equal content one tensor, drops unread tensors, and closes the gaps."""
    ends = [entry for signature in model.signatureDefs or () if signature.subgraphIndex == number
            for entry in (*(signature.inputs or ()), *(signature.outputs or ()))]  # fmt: skip
    pinned = {int(index) for part in (graph.inputs, graph.outputs) if part is not None for index in part}
    pinned |= {entry.tensorIndex for entry in ends}
    used = pinned | {
        int(index)
        for op in graph.operators or ()
        for name in INPUTS_OF_OPS
        for index in _listed(getattr(op, name))
        if index >= 0
    }
    new = {-1: -1}
    kept: list[Any] = []
    twins: dict[Any, int] = {}
    for index, tensor in enumerate(graph.tensors or ()):
        if index not in used:
            continue
        alike = content(tensor) if tensor.buffer and not tensor.isVariable and index not in pinned else index
        if alike not in twins:
            twins[alike] = len(kept)
            kept.append(tensor)
        new[index] = twins[alike]
    graph.tensors = kept
    for holder, names in (
        (graph, ("inputs", "outputs")),
        *((op, INPUTS_OF_OPS) for op in graph.operators or ()),
    ):
        for name in names:
            if getattr(holder, name) is not None:
                renumbered = [new[int(index)] for index in getattr(holder, name)]
                setattr(holder, name, np.array(renumbered, np.int32))
    for entry in ends:
        entry.tensorIndex = new[entry.tensorIndex]


def _listed(indices: Any) -> list[int]:
    return [] if indices is None else [int(index) for index in indices]


def content(value: Any) -> Any:
    """A generated object as nested tuples, equal where the objects say the same."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.tobytes())
    if isinstance(value, (list, tuple)):
        return tuple(content(item) for item in value)
    if hasattr(value, "__dict__"):
        return (type(value).__name__, *(content(item) for item in vars(value).values()))
    return value


def _share_codes(model: Any) -> None:
    """One operator code per op and version that is used, in the order of first use."""
    numbers: dict[Any, int] = {}
    kept: list[Any] = []
    for graph in model.subgraphs:
        for op in graph.operators or ():
            code = model.operatorCodes[op.opcodeIndex]
            key = content(code)
            if key not in numbers:
                numbers[key] = len(kept)
                kept.append(code)
            op.opcodeIndex = numbers[key]
    model.operatorCodes = kept
