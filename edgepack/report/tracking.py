"""A build's parameters, metrics and files in MLflow, where that is installed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from edgepack import errors
from edgepack.pipeline.output import RESULT
from edgepack.pipeline.result import BuildResult, PackageResult
from edgepack.recipe import Recipe

UNSAFE: Final = re.compile(r"[^\w. /-]")
"""What the name of a parameter must not have."""
LONGEST: Final = 500
"""Characters of a parameter that every MLflow store takes."""


def require_mlflow() -> Any:
    """The module, asked for before any time is spent on a build.

    Raises:
      MissingDependencyError: not installed.
    """
    try:
        import mlflow
    except ImportError as error:
        raise errors.MissingDependencyError(
            "--mlflow needs MLflow, which is not installed; install it with: pip install mlflow-skinny"
        ) from error
    return mlflow


def log_build(mlflow: Any, result: BuildResult, recipe: Recipe, out: Path) -> str:
    """One MLflow run per build, in the experiment and at the server that MLflow's own environment names.

    Evaluation samples stay here: neither they nor pages that show them are sent.

    Args:
      mlflow: the module, or what acts like it.

    Returns:
      The run's id.

    Raises:
      DeviceError: the tracking server refuses or cannot be reached.
    """
    try:
        with mlflow.start_run(run_name=f"{result.name}-{result.version}") as run:
            mlflow.set_tags({"edgepack.status": "passed" if result.passed else "failed"})
            mlflow.log_params(dict(_parameters(recipe)))
            for package in result.packages:
                mlflow.log_metrics(dict(_metrics(package)))
                for path in (package.package, package.tflite):
                    if path is not None:
                        mlflow.log_artifact(str(path))
            mlflow.log_artifact(str(out / RESULT))
            return str(run.info.run_id)
    except errors.EdgepackError:
        raise
    except Exception as error:  # whatever its stores raise
        raise errors.DeviceError(
            f"MLflow: {type(error).__name__}: {error}; the build itself is complete in {out}; see MLFLOW_TRACKING_URI"
        ) from error


def _parameters(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The recipe's values, flat: "quantize.scheme" → "int8"."""
    yield from _flat("", recipe.model_dump(mode="json", exclude_unset=True))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{prefix}.{name}" if prefix else str(name), inner)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for number, inner in enumerate(value, start=1):
            yield from _flat(f"{prefix}.{number}", inner)
    else:
        yield UNSAFE.sub("_", prefix), (value if isinstance(value, str) else json.dumps(value))[:LONGEST]


def _metrics(package: PackageResult) -> Iterator[tuple[str, float]]:
    """Numbers by name, "device/…" before those of a device's package."""
    where = f"{package.device}/" if package.device else ""
    if package.metric is not None:
        yield f"{where}metric", package.metric.tflite_value
        yield f"{where}metric_float", package.metric.float_value
        yield f"{where}drop", package.metric.drop
    if package.weighed is not None:
        sizes = package.weighed.sizes
        yield f"{where}file_bytes", float(sizes.file_bytes)
        yield f"{where}delivered_bytes", float(sizes.delivered_bytes)
        yield f"{where}macs", float(package.weighed.macs)
        latency = (package.weighed.latency_ms or {}).get("p50")
        if isinstance(latency, int | float):
            yield f"{where}latency_ms", float(latency)
