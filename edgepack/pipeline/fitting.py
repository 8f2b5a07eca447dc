"""Whether a model can fit its devices, asked of the imported model before any time is spent on training.

What is judged is the model as it will be: the operators of the float .tflite, in the types of ``[quantize]``, planned
as the device's interpreter plans them. A limit is only a refusal where no stage of the recipe can still change the
answer; otherwise it is a note, and the built model is judged at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from edgepack import device, embedded, errors, tflite
from edgepack.benchmark.latency_table import predicted_us
from edgepack.device import Device
from edgepack.embedded.tables import too_much_ram
from edgepack.pipeline.attached import attached
from edgepack.pipeline.fitting_types import types_refused
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe, limits
from edgepack.records import Artifact
from edgepack.tflite import Model
from edgepack.tflite.arena import arena

FAMILIES: Final = {
    "CONV_2D": "conv",
    "TRANSPOSE_CONV": "conv",
    "DEPTHWISE_CONV_2D": "depthwise",
    "FULLY_CONNECTED": "dense",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "lstm",
}
"""Operators with weights, as profiles call them in `pairs`."""
STORED: Final = {
    "int8": "int8",
    "int16x8": "int16",
    "float32": "float32",
    "float16": "float32",
    "dynamic": "float32",
}
"""Scheme → type of activations."""
WEIGHT_BYTES: Final = {"int8": 1, "int16x8": 1, "float32": 4, "float16": 2, "dynamic": 1}
SAME_SHAPE: Final = frozenset({"prune", "cluster", "finetune"})
"""Stages after which the model has the same layers of the same sizes."""
TABLE_ERROR: Final = 0.3
"""How much too slow a predicted time may be before it is a refusal: predictions are some 10 % off."""


def require_fitting(
    recipe: Recipe, devices: Sequence[Device], baseline: Artifact, workspace: Workspace
) -> None:
    """Refuses what no device of the list can run or hold; notes what only the built model can show.

    Args:
      baseline: the imported model as a float .tflite.

    Raises:
      DeviceError: names the device and the operator or the limit.
    """
    if not devices:
        return
    model = tflite.read(baseline.path)
    fixed = recipe.target is None and all(stage.use in SAME_SHAPE for stage in recipe.stages)
    refusals: list[str] = []
    for each in devices:
        refusals += [f"{each.name}: {text}" for text in _never(recipe, each, model)]
        for text in _limits(recipe, each, model):
            if fixed:
                refusals.append(f"{each.name}: {text}")
            else:
                workspace.reporter.note(
                    "note", f"{each.name}: as imported, {text}; the stages must mend that"
                )
        for text in _unverified(recipe, each):
            workspace.reporter.note("note", f"{each.name}: {text}")
    if refusals:
        raise errors.DeviceError(f"{recipe.path}: refused before training: " + "; ".join(refusals))


def _never(recipe: Recipe, target: Device, model: Model) -> Iterator[str]:
    """What no training changes: types and operators."""
    scheme = recipe.quantize.scheme
    yield from types_refused(recipe, target)
    if target.runtime == "tflite-micro":
        for name in embedded.unsupported(model):
            yield f"operator {name} has no kernel in tflite-micro; replace the layer that becomes it"
    if target.pairs and scheme != "dynamic":
        used = {op.name for graph in model.subgraphs for op in graph.ops}
        for name in sorted(used & set(FAMILIES)):
            pair = f"{FAMILIES[name]} {'float32' if scheme == 'float16' else scheme}"
            if pair not in target.pairs:
                yield f'operator {name}: its runtime has no {scheme} kernel for it (pairs has no "{pair}")'


def _limits(recipe: Recipe, target: Device, model: Model) -> Iterator[str]:
    """What only another architecture would change: memory, and the least that the weights take."""
    scheme, budget = recipe.quantize.scheme, limits(recipe, target)
    if target.budget_ram_bytes is not None or target.ram_bytes is not None:
        needed = arena(stored_as(model, STORED[scheme])).activation_bytes
        yield from too_much_ram(needed, target)
    constants = [tensor for _, tensor in model.constants() if tensor.dtype == "float32"]
    least = sum(tensor.elements for tensor in constants) * WEIGHT_BYTES[scheme]
    tables = recipe.package.flash == "lut" or (recipe.package.flash == "auto" and "lut" in target.decoders)
    coded = target.kind == "npu" or tables or recipe.quantize.pack_int4
    for name in ("max_file_bytes", "max_flash_bytes"):
        limit = getattr(budget, name)
        if limit is not None and least > limit and not coded:
            yield f"size: the weights alone take {least:,} B in {scheme}, more than {name} = {limit:,} B"
    if budget.max_macs is not None and tflite.macs(model) > budget.max_macs:
        yield f"work: {tflite.macs(model):,} multiply-adds, more than max_macs = {budget.max_macs:,}"
    if budget.max_latency_ms is not None and target.latency_table is not None and scheme == "int8":
        expected = (
            predicted_us(model, device.latency_model(target.latency_table, beside=recipe.directory)) / 1e3
        )
        if expected > budget.max_latency_ms * (1.0 + TABLE_ERROR):
            yield (
                f"latency: {expected:.2f} ms are predicted by table {target.latency_table}, more than max_latency_ms = "
                f"{budget.max_latency_ms:g}"
            )


def _unverified(recipe: Recipe, target: Device) -> Iterator[str]:
    reachable = target.transport == "local" or attached(target)
    if limits(recipe, target).max_latency_ms is not None and not reachable:
        known = (
            "a table predicts it"
            if target.latency_table is not None
            else "it has no table of measured operators"
        )
        yield (
            f"max_latency_ms cannot be measured: no device is attached ({known}); name one: --device "
            f"{target.name}@HOST, or measure one with 'edgepack devices probe'"
        )


def stored_as(model: Model, dtype: str) -> Model:
    """The model with `dtype` in place of every float32 tensor, for planning memory; its values are left alone."""
    graphs = tuple(
        replace(
            graph,
            tensors=tuple(
                replace(tensor, dtype=dtype) if tensor.dtype == "float32" else tensor
                for tensor in graph.tensors
            ),
        )
        for graph in model.subgraphs
    )
    return replace(model, subgraphs=graphs)


def unfit(target: Device | None, artifact: Artifact) -> list[str]:
    """What of a built model the device's runtime has no kernel for; tflite-micro's operators are judged with its RAM."""
    if target is None or not target.pairs or "dense int8-per-channel" in target.pairs:
        return []
    model = tflite.read(artifact.path)
    for graph in model.subgraphs:
        for op in graph.ops:
            scales = graph.tensors[op.inputs[1]].quantization if op.name == "FULLY_CONNECTED" else None
            if scales is not None and scales.per_channel:
                return [
                    f"operators: {target.name} has no dense kernels scaled per channel, and the .tflite has some; "
                    '[quantize] weights = "tensor" gives one scale to each'
                ]
    return []
