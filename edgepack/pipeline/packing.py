"""A judged model becomes a package: contract, vectors, ledger and recipe beside the .tflite."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from edgepack import bundle
from edgepack.data import Dataset
from edgepack.device import Device
from edgepack.pipeline import output
from edgepack.pipeline.environment import APART, versions
from edgepack.pipeline.flashing import Stored
from edgepack.pipeline.quantizing import Quantized
from edgepack.pipeline.result import PackageResult
from edgepack.pipeline.sources import Datasets
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe, to_toml
from edgepack.records import Json, TensorSpec

PACKAGE = "package.edgepack"
HOST_FACTS = ("python", *APART)
"""Versions that have no part in the package's bytes."""


def packed(
    result: PackageResult,
    recipe: Recipe,
    made: Quantized,
    datasets: Datasets,
    target: Device | None,
    out: Path,
    workspace: Workspace,
    stored: Stored,
) -> PackageResult:
    """Writes the package, the bare .tflite and what the device stores instead to `out`; returns the result with paths."""
    manifest = manifest_of(result, recipe, made, target)
    # Where the recipe lies is nothing that a package should say.
    text = to_toml(recipe.model_copy(update={"relative_to": None}))
    sample = datasets.calibration or datasets.evaluation

    def make(directory: Path) -> Json:
        golden = bundle.make_golden(
            made.artifact.path,
            made.artifact.inputs,
            seed=recipe.seed,
            id_limits=_id_limits(made, sample),
            ranges=_ranges(made, sample),
        )
        bundle.pack(
            directory / PACKAGE,
            model=made.artifact.path,
            manifest=manifest,
            golden=golden,
            device_model=stored.path.read_bytes() if stored.path else None,
            recipe_text=text,
        )
        return {}

    parts: dict[str, Json] = {
        "tflite": made.artifact.sha256,
        "manifest": manifest,
        "recipe": text,
        "sample": sample.sha256,
    }
    entry = workspace.produce("pack", parts, make)
    stem = f"{recipe.name}-{recipe.version}" + (f"-{target.name}" if target else "")
    if stored.path is not None and stored.told is not None:
        output.place(stored.path, out / f"{stem}.{stored.told['codec']}.tflite")
    return replace(
        result,
        package=output.place(entry.files[PACKAGE], out / f"{stem}{bundle.SUFFIX}"),
        tflite=output.place(made.artifact.path, out / f"{stem}.tflite"),
    )


def manifest_of(
    result: PackageResult, recipe: Recipe, made: Quantized, target: Device | None
) -> dict[str, Json]:
    """What the package says of its model: nothing of the time, the machine or the folder it was made in."""
    contract = recipe.preprocess.contract([_in_keras(spec) for spec in made.artifact.inputs])
    inputs: list[Json] = [
        {**_tensor(spec), "preprocess": contract[spec.name], "ids": spec.name in made.ids}
        for spec in made.artifact.inputs
    ]
    assert result.metric is not None and result.weighed is not None and result.baseline is not None
    told: dict[str, Any] = {
        "name": recipe.name,
        "version": recipe.version,
        "status": "passed" if result.passed else "failed",
        "reasons": list(result.reasons),
        "device": target.to_json() if target else None,
        "inputs": inputs,
        "outputs": [_tensor(spec) for spec in made.artifact.outputs],
        "stateful": made.stateful,
        "labels": list(recipe.labels),
        "scheme": recipe.quantize.scheme,
        "remedy": made.remedy,
        "metric": result.metric.to_json(),
        **_without_latency(result.weighed.to_json()),
        "baseline": _without_latency(result.baseline.to_json()),
        "flash": dict(result.flash) if result.flash is not None else None,
        "invariants": [asdict(item) for item in result.invariants],
        "ledger": [asdict(entry) for entry in result.ledger],
        "sources": {"model_sha256": result.digests["model"]},
        "versions": {name: version for name, version in versions().items() if name not in HOST_FACTS},
    }
    return told


def _tensor(spec: TensorSpec) -> dict[str, Json]:
    return {**asdict(spec), "shape": list(spec.shape)}


def _in_keras(spec: TensorSpec) -> TensorSpec:
    """The contract speaks of real values; the stored integers come after it, by scale and zero point."""
    return replace(spec, dtype="float32") if spec.scale is not None else spec


def _without_latency(weighed: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in weighed.items() if name != "latency_ms"}


def _id_limits(made: Quantized, sample: Dataset) -> dict[str, int]:
    """Ids that the data show to exist: one more than the largest."""
    return {name: int(sample.stored(name).max()) + 1 for name in made.ids if name in sample.inputs}


def _ranges(made: Quantized, sample: Dataset) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of inputs that stay float."""
    ranges = {}
    for spec in made.artifact.inputs:
        if spec.dtype == "float32" and spec.name in sample.inputs:
            values = sample.preprocess[spec.name].apply(sample.stored(spec.name)[:256])
            ranges[spec.name] = (float(values.min()), float(values.max()))
    return ranges
