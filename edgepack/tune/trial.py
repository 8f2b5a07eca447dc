"""One trial, where it is carried out: a build without package, in a process that keeps its TensorFlow child for the next."""

from __future__ import annotations

import atexit
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from edgepack import device, errors, tables, tflite
from edgepack.backend import Backend
from edgepack.child import settle
from edgepack.pipeline.build import Options, build
from edgepack.pipeline.reporter import Silent
from edgepack.pipeline.result import PackageResult
from edgepack.pipeline.verdict import reasons_against
from edgepack.recipe import Recipe, limits
from edgepack.tflite.arena import arena
from edgepack.tflite.work import works

THREAD_LIMITS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
)
ONE_THREAD: Final = dict.fromkeys(THREAD_LIMITS, "1")
"""What makes a trial keep to one processor: as many trials as processors are better than faster trials."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What all trials of a study share, as it is sent to workers.

    Attributes:
      device: name of a profile, or None.
      table: latency table, or None where times play no part.
      cache: the store; on a cluster a folder that all workers share.
      store_read: URL of a store that is looked into where an entry is missing.
    """

    device: str | None = None
    table: str | None = None
    cache: str
    store_read: str | None = None
    trust_code: bool = False
    trust_input: bool = False
    memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One trial as it is sent to a worker.

    Attributes:
      number: of the trial in its study.
      tables: the recipe, nothing left open.
      path: the recipe's file, which says what paths in it are relative to.
    """

    number: int
    tables: Mapping[str, Any]
    path: str
    surroundings: Surroundings

    @property
    def stages(self) -> list[Any]:
        """Its [[stage]] tables, in the order in which they run."""
        return [*self.tables.get("stage", ())]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a trial.

    Attributes:
      measured: every quantity that can be an objective or a limit, and the metric itself.
      broken: reasons beside the limits of [budget] why the model must not ship: promises that do not hold.
      error: why there is no model; None where there is one.
    """

    number: int
    measured: dict[str, float | None] = field(default_factory=dict)
    broken: tuple[str, ...] = ()
    error: str | None = None
    seconds: float = 0.0


def evaluate(job: Job) -> Outcome:
    """Carries out a trial; whatever goes wrong in it is its outcome."""
    began = time.monotonic()
    os.environ.update(ONE_THREAD)
    try:
        recipe = tables.validate(Recipe, job.tables, source=job.path).located(Path(job.path))
        outcome = _evaluated(recipe, job)
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
        result = build(recipe, options, Silent(), backend=_kept_backend(recipe, around)).packages[0]
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


_backends: dict[tuple[object, ...], Backend] = {}


def _kept_backend(recipe: Recipe, around: Surroundings) -> Backend:
    """This process's TensorFlow child: starting one takes longer than many a trial."""
    custom, paths = recipe.model.custom, (recipe.directory,)
    wanted = (around.cache, around.trust_code, around.memory_bytes, custom, paths)
    if wanted not in _backends:
        close_backends()
        logs = Path(around.cache) / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        _backends[wanted] = Backend(
            log=logs / f"trials-{os.getpid()}.log",
            memory_bytes=around.memory_bytes,
            trust_code=around.trust_code,
            custom=custom,
            import_paths=paths,
        )
    return _backends[wanted]


def close_backends() -> None:
    """Ends the TensorFlow child of this process, if there is one."""
    while _backends:
        (cache, *_), backend = _backends.popitem()
        backend.close()
        (Path(str(cache)) / "logs" / f"trials-{os.getpid()}.log").unlink(missing_ok=True)


atexit.register(close_backends)


def begin_worker() -> None:
    """First thing in a process of the local pool: it ends with its parent, however that ends."""
    os.environ.update(ONE_THREAD)
    settle(None)
