"""A run's folder as a build leaves it, made without TensorFlow: a small int8 network beside its float form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from edgepack import bundle, runtime, tables, tflite
from edgepack.data.dataset import Affine, Dataset
from edgepack.numerics.metrics import Metric
from edgepack.numerics.statistics import paired_interval
from edgepack.pipeline.evidence import write_evidence
from edgepack.pipeline.result import BuildResult, MetricResult, PackageResult, Weighed
from edgepack.recipe import Recipe
from edgepack.records import Artifact, Invariant, LedgerEntry
from tests.tflite.handmade_network import Network

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7*7 }}](javascript:alert(3))|@everyone"
"""A name that would be markup, script, template, link, table or mention wherever it is not escaped."""
CLASSES = ("cat", HOSTILE, "dog", "owl")
RECIPE = """edgepack = 1
name = "owls"
version = "1.0.0"
[model]
path = "m.h5"
[data.evaluation]
path = "e.npz"
inputs = "x"
labels = "y"
[metric]
name = "top1"
[quantize]
scheme = "float16"
[budget]
max_file_bytes = 9000
"""
SAMPLES = 120
SIZE = 8


def network(*, integer: bool) -> bytes:
    """conv → dense → softmax on 8 × 8 pictures, four classes."""
    made = Network((1, SIZE, SIZE, 1), integer=integer, seed=3)
    flat = made.flatten(made.conv(made.input, 4, activation="relu"))
    return made.to_bytes(made.softmax(made.dense(flat, len(CLASSES), activation="none")))


def dataset(folder: Path) -> Dataset:
    """Random pictures; a quarter of the labels is wrong, so that there is something to confuse."""
    random = np.random.default_rng(5)
    pictures = random.integers(0, 255, (SAMPLES, SIZE, SIZE, 1), dtype=np.uint8)
    np.save(folder / "x.npy", pictures)
    return Dataset(
        inputs={"x": folder / "x.npy"},
        labels={"": folder / "y.npy"},
        preprocess={"x": Affine(scale=1 / 40, offset=-3.0)},
        count=SAMPLES,
        sha256="0" * 64,
    )


def written(folder: Path) -> Path:
    """Writes build.json, evaluation.npz, the .tflite and a package; returns the folder."""
    build_result(folder)
    return folder


def build_result(folder: Path) -> BuildResult:
    """What the build in `folder` came to; its files are written."""
    folder.mkdir(parents=True, exist_ok=True)
    data = dataset(folder)
    baseline, made = (_artifact(folder / f"{kind}.tflite", kind == "int8") for kind in ("float", "int8"))
    answers = {}
    for artifact in (baseline, made):
        answers[artifact.sha256] = folder / f"{artifact.path.stem}.npz"
        runtime.predict(artifact.path, data, answers[artifact.sha256])
    output = made.outputs[0].name
    before, after = (np.load(path)[output] for path in answers.values())
    labels = np.where(np.arange(SAMPLES) % 4 == 0, (before.argmax(1) + 1) % 4, before.argmax(1))
    np.save(folder / "y.npy", labels)
    recipe = Recipe.model_validate({**tables.parse(RECIPE, "recipe.toml"), "labels": list(CLASSES)})
    write_evidence(
        folder, recipe, data, answers[baseline.sha256], baseline, {made.sha256: (made, answers[made.sha256])}
    )
    package = _packed(folder, made)
    result = _result(before, after, labels, baseline, made, package)
    (folder / "build.json").write_text(json.dumps(result.to_json()))
    return result


def _artifact(path: Path, integer: bool) -> Artifact:
    path.write_bytes(network(integer=integer))
    return tflite.adopt(path)


def _packed(folder: Path, made: Artifact) -> Path:
    manifest: dict[str, Any] = {"name": "owls", "version": "1.0.0", "status": "passed", "reasons": [HOSTILE]}
    golden = bundle.make_golden(made.path, made.inputs)
    return bundle.pack(
        folder / "owls.edgepack",
        model=made.path,
        manifest={**manifest, **_weighed(made).to_json()},
        golden=golden,
        recipe_text=RECIPE,
    ).path


def _weighed(artifact: Artifact, latency: float | None = None) -> Weighed:
    model = tflite.read(artifact.path)
    told = None if latency is None else {f"p{point}": latency * point / 50 for point in (10, 50, 90, 99)}
    return Weighed(
        sizes=tflite.sizes(artifact.path),
        macs=tflite.macs(model),
        parameters=tflite.parameters(model),
        latency_ms=told,  # type: ignore[arg-type]
    )


def _result(
    before: Any,
    after: Any,
    labels: Any,
    baseline: Artifact,
    made: Artifact,
    package: Path,
) -> BuildResult:
    metric = Metric(name="top1")
    values = metric.value(before, labels), metric.value(after, labels)
    found = MetricResult(
        name="top1",
        float_value=values[0],
        tflite_value=values[1],
        drop=metric.drop(*values),
        interval=paired_interval(metric, before, after, labels),
        samples=SAMPLES,
        agreement=0.9,
    )
    layers = [
        {"layer": HOSTILE, "kind": "Conv2D", "shape": [3, 3, 1, 4], "parameters": 40},
        {"layer": "scores", "kind": "Dense", "shape": [256, 4], "parameters": 1028},
    ]
    for place, layer in enumerate(layers):
        layer["tensors"] = [_kernels(made)[place]]
        layer["baseline_tensors"] = [_kernels(baseline)[place]]
    measured = {"cpu": HOSTILE, "runtime": "litert", "version": "2", "kernels": "default", "threads": 1}
    item = PackageResult(
        device=None,
        reasons=(),
        package=package,
        tflite=made.path,
        metric=found,
        weighed=_weighed(made, 0.5),
        baseline=_weighed(baseline, 1.5),
        invariants=[Invariant(layer=HOSTILE, kind="sparsity", wanted=0.5, found=0.6, holds=True)],
        ledger=[
            LedgerEntry(stage="float model", layer="", action="model", found={"parameters": 1068}),
            LedgerEntry(stage=HOSTILE, layer=HOSTILE, action="left alone", reason=HOSTILE),
            LedgerEntry(stage="prune", layer="", action="model", found={"parameters": 1068, "sparsity": 0.5}),
        ],
        benchmark={"artifact": {**measured, "stable": False, "warnings": [HOSTILE]}},  # type: ignore[dict-item]
        digests={"model": "1" * 64, "tflite": made.sha256},
        budget={"max_drop": 0.5, "max_file_bytes": 9000, "max_latency_ms": 0.1},
        layers=layers,  # type: ignore[arg-type]
        stages=[
            {"stage": "float model", "estimated_bytes": 1900, "metric": 0.75, "samples": 120},
            {"stage": "prune", "estimated_bytes": 1200, "metric": 0.7, "samples": 120},
        ],
    )
    point = {"delivered_bytes": 3000, "metric": 0.7, "drop": 0.01, "interval": [0.0, 0.02], "macs": 100}
    return BuildResult(
        name="owls",
        version="1.0.0",
        packages=[item],
        findings=[{"level": "warning", "text": HOSTILE}],
        seconds={"prune": 1.5},
        versions={"edgepack": HOSTILE},
        pareto=[{**point, "chosen": True}, {**point, "delivered_bytes": 4000, "chosen": False}],
        evidence="evaluation.npz",
    )


def _kernels(artifact: Artifact) -> list[int]:
    """Tensors of the convolution's and the dense layer's kernel."""
    model = tflite.read(artifact.path)
    return [op.inputs[1] for op in model.main.ops if op.name in ("CONV_2D", "FULLY_CONNECTED")]
