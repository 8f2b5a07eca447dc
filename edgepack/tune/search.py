"""`tune`: generations of trials until there are as many as were asked for, then the front and the frozen recipe."""

from __future__ import annotations

import functools
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

from edgepack import device
from edgepack.pipeline import output
from edgepack.pipeline.reporter import Reporter
from edgepack.recipe import Recipe
from edgepack.recipe.opened import OpenRecipe
from edgepack.records import Json, canonical_json
from edgepack.store import default_root
from edgepack.tune.executors import Workers, workers
from edgepack.tune.generations import Search, run
from edgepack.tune.job import Surroundings
from edgepack.tune.kept_backend import close_backends, kept_backend
from edgepack.tune.objectives import Objectives, objectives_of
from edgepack.tune.predicting import predictor
from edgepack.tune.result import TuneResult, settled
from edgepack.tune.space import Space
from edgepack.tune.study import Done, Study, url_of


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user says beside the recipe.

    Attributes:
      out: folder of the study, tune.json, the frozen recipe and its package.
      trials: instead of `[tune]` trials.
      time_s: no generation starts after so many seconds.
      jobs: trials at once on this machine.
      scheduler: of a Dask cluster, or "local" for one of this machine.
      storage: URL of the study's database; None for a file in `out`.
      store_read: URL of a store that is looked into where an entry is missing.
    """

    device: str | None = None
    out: Path
    trials: int | None = None
    time_s: float | None = None
    jobs: int = 1
    scheduler: str | None = None
    storage: str | None = None
    store_read: str | None = None
    trust_code: bool = False
    trust_input: bool = False
    memory_bytes: int | None = None
    cache: Path | None = None


def tune(recipe: OpenRecipe, options: Options, reporter: Reporter) -> TuneResult:
    """Searches, or goes on with the search that `options.out` holds; writes everything to `options.out`.

    Raises:
      EdgepackError: bad input, no scheduler, disk. A trial that fails is no error, nor is it that none keeps the limits.
    """
    began = time.monotonic()
    try:
        objectives, trials = explored(recipe, options, reporter)
        around = _surroundings(options, objectives)
        return settled(
            recipe, objectives, trials, options.out, around, reporter, seconds=time.monotonic() - began
        )
    finally:
        close_backends()


def explored(
    recipe: OpenRecipe, options: Options, reporter: Reporter, *, pool: Workers | None = None
) -> tuple[Objectives, list[Done]]:
    """The search alone: its objectives and its trials.

    Args:
      pool: workers that other searches use as well; None for own ones.

    Raises:
      EdgepackError: as `tune`.
    """
    output.prepare(options.out)
    some = recipe.some()
    target = None if options.device is None else device.load(options.device, beside=some.directory)
    objectives = objectives_of(some, recipe.settings, target)
    space = Space(fields=recipe.fields)
    around = _surroundings(options, objectives)
    url, name = options.storage or url_of(options.out), f"{some.name}-{some.version}"
    study = Study(url, name, space, objectives.names, _identity(recipe, options, objectives))
    search = Search(
        recipe=recipe,
        time_s=options.time_s,
        space=space,
        objectives=objectives,
        study=study,
        surroundings=around,
        reporter=reporter,
        wanted=int(min(options.trials or recipe.settings.trials, space.size())),
        predict=functools.cache(lambda: predictor(recipe, around, reporter)),
    )
    try:
        if search.unfinished:
            _begin_backend(some, around, predicts=recipe.settings.sampler == "proxy")
        run(search, lambda: pool or workers(options.scheduler, options.jobs), close=pool is None)
        return objectives, study.done()
    finally:
        study.close()


def _begin_backend(recipe: Recipe, around: Surroundings, *, predicts: bool) -> None:
    """Refuses what the user did not allow before anything is started; a child that predicts imports TensorFlow now."""
    backend = kept_backend(recipe, around)
    backend.check_trust()
    if predicts:
        backend.start()


def _surroundings(options: Options, objectives: Objectives) -> Surroundings:
    return Surroundings(
        device=options.device,
        table=objectives.table,
        cache=str(options.cache or default_root()),
        store_read=options.store_read,
        trust_code=options.trust_code,
        trust_input=options.trust_input,
        memory_bytes=options.memory_bytes,
    )


def _identity(recipe: OpenRecipe, options: Options, objectives: Objectives) -> dict[str, Json]:
    """What must be the same for a search to be gone on with."""
    settings = recipe.settings
    tables = hashlib.sha256(canonical_json(dict(recipe.tables))).hexdigest()
    return {
        "recipe": tables,
        "device": options.device,
        "objectives": list(objectives.names),
        "sampler": settings.sampler,
        "generation": settings.generation,
        "candidates": settings.candidates,
        "seed": settings.seed,
        "limits": dict(objectives.limits),
    }
