"""Turns a .tflite, whoever made it, into an `Artifact`, after the checks."""

from __future__ import annotations

from pathlib import Path

from edgepack.records import Artifact, TensorSpec, file_sha256
from edgepack.tflite.model import Model, Tensor, load


def adopt(path: Path) -> Artifact:
    """Checks a .tflite and describes its inputs and outputs.

    Raises:
      ModelError: not a .tflite, or a damaged one.
    """
    model = load(path)
    inputs, outputs = interface(model)
    return Artifact(path=path, sha256=file_sha256(path), inputs=inputs, outputs=outputs)


def interface(model: Model) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs in the file's order, by the signature's names where it has one, else by tensor
    name."""
    names_in: dict[int, str] = {}
    names_out: dict[int, str] = {}
    for signature in model.signatures[:1]:
        if signature.subgraph == 0:
            names_in = {index: name for name, index in signature.inputs.items()}
            names_out = {index: name for name, index in signature.outputs.items()}
    tensors = model.main.tensors
    return (
        tuple(_spec(tensors[index], names_in.get(index)) for index in model.main.inputs),
        tuple(_spec(tensors[index], names_out.get(index)) for index in model.main.outputs),
    )


def _spec(tensor: Tensor, name: str | None) -> TensorSpec:
    quantization = tensor.quantization
    single = quantization is not None and not quantization.per_channel
    return TensorSpec(
        name=name or tensor.name,
        shape=tuple(None if size < 0 else size for size in tensor.signature),
        dtype=tensor.dtype,
        scale=float(quantization.scale[0]) if single and quantization is not None else None,
        zero_point=int(quantization.zero_point[0]) if single and quantization is not None else None,
    )
