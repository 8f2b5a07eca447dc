"""One trial, where it is carried out: a build without package, in a process that keeps its TensorFlow child for the next."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from edgepack import device, errors, tflite
from edgepack.child import settle
from edgepack.pipeline.build import Options, build
from edgepack.pipeline.reporter import Silent
from edgepack.pipeline.result import PackageResult
from edgepack.pipeline.verdict import reasons_against
from edgepack.recipe import Recipe, limits
from edgepack.tflite.arena import arena
from edgepack.tflite.work import works
from edgepack.tune.job import Job, Outcome, Surroundings
from edgepack.tune.kept_backend import kept_backend


def begin_worker() -> None:
    """First thing in a process of the local pool: it ends with its parent, however that ends."""
    settle(None)


def make_ready(job: Job) -> None:
    """Starts this process's TensorFlow child and imports what trials like this one need.

    Nothing depends on it: what goes wrong here goes wrong in a trial again, and is told there.
    """
    with contextlib.suppress(errors.EdgepackError):
        recipe = job.recipe()
        kept_backend(recipe, job.surroundings).call("preload", training=recipe.data.training is not None)


def evaluate(job: Job) -> Outcome:
    """Carries out a trial; whatever goes wrong in it is its outcome."""
    began = time.monotonic()
    try:
        outcome = _evaluated(job.recipe(), job)
    except errors.EdgepackError as error:
        outcome = Outcome(number=job.number, error=str(error))
    except Exception as error:  # a defect, or user code: the search goes on, and the trial says it
        outcome = Outcome(number=job.number, error=f"{type(error).__name__}: {error}")
    return Outcome(**{**asdict(outcome), "seconds": round(time.monotonic() - began, 3)})


def _evaluated(recipe: Recipe, job: Job) -> Outcome:
    around = job.surroundings
    if around.store_read is not None:
        os.environ["EDGEPACK_STORE_READ"] = around.store_read
    with tempfile.TemporaryDirectory(prefix="edgepack-trial-") as out:
        options = Options(
            devices=() if around.device is None else (around.device,),
            out=Path(out),
            bench=False,
            pack=False,
            trust_code=around.trust_code,
            trust_input=around.trust_input,
            memory_bytes=around.memory_bytes,
            cache=Path(around.cache),
        )
        result = build(recipe, options, Silent(), backend=kept_backend(recipe, around)).packages[0]
    return Outcome(
        number=job.number, measured=_measured(result, recipe, around), broken=_broken(result, recipe, around)
    )


def _measured(result: PackageResult, recipe: Recipe, around: Surroundings) -> dict[str, float | None]:
    assert result.metric is not None and result.weighed is not None and result.tflite is not None
    model = tflite.read(result.tflite)
    latency_ms = None
    if around.table is not None:
        latency_ms = device.latency_model(around.table, beside=recipe.directory).model_us(works(model)) / 1e3
    return {
        "drop": result.metric.drop,
        "metric": result.metric.tflite_value,
        **{name: float(value) for name, value in asdict(result.weighed.sizes).items()},
        "macs": float(result.weighed.macs),
        "arena_bytes": float(arena(model).total_bytes),
        "latency_ms": latency_ms,
    }


def _broken(result: PackageResult, recipe: Recipe, around: Surroundings) -> tuple[str, ...]:
    """Promises that the file does not keep; limits are the search's own business."""
    assert result.metric is not None and result.weighed is not None and result.baseline is not None
    target = None if around.device is None else device.load(around.device, beside=recipe.directory)
    budget = limits(recipe, target)
    unlimited = type(budget)(
        max_drop=float(max(result.metric.drop, 0.0)), min_compression=budget.min_compression
    )
    return tuple(
        reasons_against(
            unlimited,
            metric=result.metric,
            weighed=result.weighed,
            baseline=result.baseline,
            invariants=result.invariants,
            latency_is_of_device=False,
        )
    )
