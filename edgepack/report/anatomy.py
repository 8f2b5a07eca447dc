"""The weighted layers of a .tflite as they lie in the file: what a layer table, a treemap and node data are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edgepack import device, errors, tflite
from edgepack.numerics.latency_model import LatencyModel
from edgepack.report.documents import LayerLine, Packaged
from edgepack.report.material import Material
from edgepack.tflite.sizes import is_weight
from edgepack.tflite.work import FREE, works

DEFAULT_TABLE: Final = "x86-64"
LEAST_WEIGHTS: Final = 2


@dataclass(frozen=True, kw_only=True)
class Part:
    """One weighted layer, as the .tflite has it.

    Attributes:
      layer: Keras name; where nobody recorded it, the op's name and number.
      kind: Keras class, else the op.
      ops: numbers in the main subgraph that read its kernels.
      kernels: its kernels' tensors; baseline_kernels: those of the layer it came from, in the float file.
      output: tensor that its last op writes; None where no op was found.
      bits: of a stored weight.
      sparsity, distinct: of the stored kernels; distinct is the most values that one output channel has.
      size_bytes: kernels, biases, scales and zero points.
      predicted_ms: by a table of measured ops; None without one.
      reasons: why stages left it alone.
    """

    layer: str
    kind: str
    origin: str
    shape: tuple[int, ...]
    ops: tuple[int, ...]
    kernels: tuple[int, ...]
    baseline_kernels: tuple[int, ...]
    output: int | None
    bits: int | None
    sparsity: float | None
    distinct: int | None
    rank: int | None
    size_bytes: int
    macs: int
    predicted_ms: float | None
    reasons: tuple[str, ...]


def parts(material: Material) -> list[Part]:
    """The layers of the shipped model in its order; [] where there is no model to look into."""
    if material.shipped is None:
        return []
    model, packaged = material.shipped.model, material.packaged
    spans: dict[int, int] = {}
    for span in tflite.byte_spans(model):
        if span.tensor is not None and span.purpose in ("weights", "quantization"):
            spans[span.tensor] = spans.get(span.tensor, 0) + span.size_bytes
    predicted, macs = op_times(model, packaged), tflite.op_macs(model)
    lines = [line for line in packaged.layers if line.shape] or [*_unrecorded(model)]
    return [_part(line, model, packaged, spans, macs, predicted) for line in lines]


def _unrecorded(model: tflite.Model) -> Iterator[LayerLine]:
    """A line for each op with a constant kernel, named by what the file still says."""
    taken: set[int] = set()
    for number, op in enumerate(model.main.ops):
        kernels = tuple(index for index in op.inputs if index >= 0 and _is_kernel(model.main.tensors[index]))
        if kernels and not taken.issuperset(kernels):
            taken.update(kernels)
            tensor = model.main.tensors[kernels[0]]
            yield LayerLine(layer=f"{op.name} {number}", kind=op.name, shape=tensor.shape, tensors=kernels)


def _is_kernel(tensor: tflite.Tensor) -> bool:
    return (
        tensor.constant is not None
        and len(tensor.shape) >= 2
        and tensor.elements >= LEAST_WEIGHTS
        and is_weight(tensor.dtype, tensor.quantization is not None)
    )


def _part(
    line: LayerLine,
    model: tflite.Model,
    packaged: Packaged,
    spans: Mapping[int, int],
    macs: Sequence[int],
    predicted: Mapping[int, float],
) -> Part:
    tensors = [model.main.tensors[index] for index in line.tensors if 0 <= index < len(model.main.tensors)]
    kernels = tuple(tensor.index for tensor in tensors)
    ops = reading(model, kernels)
    held = {index for number in ops for index in model.main.ops[number].inputs if index in spans} | {*kernels}
    times = [predicted[number] for number in ops if number in predicted]
    zeros, distinct = _content(model, tensors)
    return Part(
        layer=line.layer,
        kind=line.kind,
        origin=line.origin,
        shape=line.shape,
        ops=ops,
        kernels=kernels,
        baseline_kernels=line.baseline_tensors,
        output=model.main.ops[ops[-1]].outputs[0] if ops and model.main.ops[ops[-1]].outputs else None,
        bits=_bits(tensors[0].dtype) if tensors else None,
        sparsity=zeros if tensors else line.sparsity,
        distinct=distinct if tensors else line.distinct,
        rank=_rank(line.layer, packaged),
        size_bytes=sum(spans.get(index, 0) for index in held),
        macs=sum(macs[number] for number in ops),
        predicted_ms=sum(times) if times else None,
        reasons=tuple(
            f"{entry.stage}: {entry.reason}"
            for entry in packaged.ledger
            if entry.layer in (line.layer, line.origin or line.layer)
            and entry.action in ("left alone", "lost")
            and entry.reason
        ),
    )


def reading(model: tflite.Model, tensors: Sequence[int]) -> tuple[int, ...]:
    """Ops of the main subgraph that read one of these tensors, themselves or as DEQUANTIZE hands it on."""
    wanted = set(tensors)
    found = []
    for number, op in enumerate(model.main.ops):
        if wanted & set(op.inputs):
            if op.name == "DEQUANTIZE":
                wanted |= set(op.outputs)
            else:
                found.append(number)
    return tuple(found)


def _content(model: tflite.Model, tensors: Sequence[tflite.Tensor]) -> tuple[float | None, int | None]:
    """Share of zeros, and the most values of one channel."""
    zeros = total = 0
    most: int | None = None
    for tensor in tensors:
        stored = model.value(tensor)
        if stored is None or not stored.size:
            continue
        quantization = tensor.quantization
        per_channel = quantization is not None and quantization.per_channel
        axis = quantization.axis if quantization is not None and per_channel else 0
        rows = np.moveaxis(stored, axis, 0).reshape(stored.shape[axis] if per_channel else 1, -1)
        zero = quantization.zero_point.reshape(-1, 1) if quantization is not None else 0
        zeros += int((rows == zero).sum())
        total += stored.size
        most = max(most or 0, *(len(np.unique(row)) for row in rows))
    return (zeros / total if total else None), most


def _bits(dtype: str) -> int | None:
    digits = "".join(letter for letter in dtype if letter.isdigit())
    return int(digits) if digits else None


def _rank(layer: str, packaged: Packaged) -> int | None:
    for promise in packaged.invariants:
        if promise.layer == layer and promise.kind == "rank" and isinstance(promise.found, float | int):
            return int(promise.found)
    return None


def op_times(model: tflite.Model, packaged: Packaged) -> dict[int, float]:
    """Op of the main subgraph → predicted milliseconds; {} without a table, or for a model with float kernels."""
    table = latency_table(packaged)
    if table is None or any(
        tensor.dtype == "float32" and _is_kernel(tensor) for tensor in model.main.tensors
    ):
        return {}
    numbers = [number for number, op in enumerate(model.main.ops) if op.name not in FREE]
    try:
        found = works(model)
    except (IndexError, ValueError):  # shapes that no such op has
        return {}
    return {number: us / 1e3 for number, us in zip(numbers, table[1].each_us(found), strict=True)}


def latency_table(packaged: Packaged) -> tuple[str, LatencyModel] | None:
    """The table of the model's device by name, else the one that edgepack ships."""
    try:
        profile = device.load(packaged.device) if packaged.device else None
        name = profile.latency_table if profile is not None else DEFAULT_TABLE
        return (name, device.latency_model(name)) if name else None
    except errors.EdgepackError:  # a profile of the recipe's own that does not lie here
        return None
