"""`tune`: generations of trials until there are as many as were asked for, then the front and the frozen recipe."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edgepack import device, errors
from edgepack.pipeline import output
from edgepack.pipeline.reporter import Reporter
from edgepack.recipe.opened import OpenRecipe
from edgepack.records import Json, canonical_json
from edgepack.store import default_root
from edgepack.tune.executors import Workers, workers
from edgepack.tune.objectives import Objectives, objectives_of
from edgepack.tune.predicting import Predictor, predictor
from edgepack.tune.proposing import GenerationSampler
from edgepack.tune.result import TuneResult, settled
from edgepack.tune.selecting import Selector
from edgepack.tune.space import Space
from edgepack.tune.study import Done, Study, plain_sampler, url_of
from edgepack.tune.trial import Job, Outcome, Surroundings

STARTS: Final = 3
"""How often a trial is started whose worker dies; then it counts as failed."""
PATIENCE_S: Final = 5.0
"""How often is looked whether the workers are still there."""


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


@dataclass(kw_only=True)
class _Search:
    """A search that runs."""

    recipe: OpenRecipe
    options: Options
    space: Space
    objectives: Objectives
    study: Study
    surroundings: Surroundings
    reporter: Reporter
    wanted: int
    predict: Callable[[], Predictor]
    began: float = field(default_factory=time.monotonic)
    made: int = 0

    @property
    def seed(self) -> int:
        own = self.recipe.settings.seed
        return self.recipe.some().seed if own is None else own


def tune(recipe: OpenRecipe, options: Options, reporter: Reporter) -> TuneResult:
    """Searches, or goes on with the search that `options.out` holds; writes everything to `options.out`.

    Raises:
      EdgepackError: bad input, no scheduler, disk. A trial that fails is no error, nor is it that none keeps the limits.
    """
    began = time.monotonic()
    objectives, trials = explored(recipe, options, reporter)
    around = _surroundings(options, objectives)
    return settled(
        recipe, objectives, trials, options.out, around, reporter, seconds=time.monotonic() - began
    )


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
    search = _Search(
        recipe=recipe,
        options=options,
        space=space,
        objectives=objectives,
        study=study,
        surroundings=around,
        reporter=reporter,
        wanted=int(min(options.trials or recipe.settings.trials, space.size())),
        predict=functools.cache(lambda: predictor(recipe, around, reporter)),
    )
    try:
        _run(search, pool)
        return objectives, study.done()
    finally:
        study.close()


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


def _run(search: _Search, lent: Workers | None) -> None:
    """Generation after generation; the first one may be the rest of one that was interrupted."""
    study = search.study
    if study.asked >= search.wanted and not study.interrupted:
        return
    pool = lent or workers(search.options.scheduler, search.options.jobs)
    ended = False
    try:
        while study.interrupted or (study.asked < search.wanted and not _late(search)):
            _carried_out(search, pool, _generation(search))
        ended = True
    finally:
        if lent is None:
            pool.close(at_once=not ended)


def _generation(search: _Search) -> dict[int, dict[str, Any]]:
    """Trials of the next generation, or those left of one that was interrupted, with their values."""
    study, size = search.study, search.recipe.settings.generation
    asked = study.asked
    first = (asked - 1 if study.interrupted else asked) // size * size
    sampler = _sampler(search, first)
    points = study.running(sampler)
    for _ in range(asked, min(first + size, search.wanted)):
        number, values = study.ask(sampler)
        points[number] = values
    return points


def _late(search: _Search) -> bool:
    limit = search.options.time_s
    return limit is not None and time.monotonic() - search.began > limit


def _sampler(search: _Search, first: int) -> Any:
    settings = search.recipe.settings
    if settings.sampler != "proxy":
        return plain_sampler(settings.sampler, search.seed * 100_003 + first, settings.generation)
    selector = Selector(
        space=search.space,
        objectives=search.objectives,
        predict=search.predict,
        seed=search.seed,
        candidates=settings.candidates,
    )
    return GenerationSampler(
        first, lambda: selector.chosen(search.study.done(before=first), first, settings.generation)
    )


def _carried_out(search: _Search, pool: Workers, points: Mapping[int, Mapping[str, Any]]) -> None:
    """All trials of a generation; each is told to the study as soon as it is done."""
    waiting: dict[Future[Outcome], int] = {}
    starts = dict.fromkeys(points, 0)

    def start(number: int) -> None:
        starts[number] += 1
        job = _job(search, number, points[number])
        if isinstance(job, Outcome):
            _told(search, job)
        else:
            waiting[pool.submit(job)] = number

    for number in sorted(points):
        start(number)
    _progress(search, pool)
    while waiting:
        finished, _ = wait(waiting, timeout=PATIENCE_S, return_when=FIRST_COMPLETED)
        pool.require()
        lost = []
        for future in finished:
            number, error = waiting.pop(future), _error(future)
            if error is None:
                _told(search, future.result())
            elif pool.lost(error) and starts[number] < STARTS:
                lost.append(number)
            else:
                _told(
                    search, Outcome(number=number, error=f"its worker died: {error or type(error).__name__}")
                )
        for number in sorted(lost):
            search.reporter.note("warning", f"trial {number}: its worker died; it is started again")
            start(number)
        if finished:
            _progress(search, pool)


def _error(future: Future[Outcome]) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as cancelled:
        return cancelled


def _job(search: _Search, number: int, values: Mapping[str, Any]) -> Job | Outcome:
    """What is sent to a worker, or the outcome of values that do not go together."""
    recipe = search.recipe
    try:
        closed = recipe.closed(values)
    except errors.RecipeError as error:
        return Outcome(number=number, error=str(error))
    tables = closed.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return Job(number=number, tables=tables, path=str(recipe.path), surroundings=search.surroundings)


def _told(search: _Search, outcome: Outcome) -> None:
    values = None if outcome.error is not None else search.objectives.values(outcome.measured)
    search.study.tell(outcome, values)
    search.made += 1
    shown = f"trial {outcome.number}"
    if outcome.error is not None:
        search.reporter.note("warning", f"{shown} failed: {outcome.error.splitlines()[0]}")
        return
    assert values is not None
    told = ", ".join(
        f"{name} {value:,.6g}" for name, value in zip(search.objectives.names, values, strict=True)
    )
    search.reporter.note("note", f"{shown}: {told} ({outcome.seconds:.1f} s)")


def _progress(search: _Search, pool: Workers) -> None:
    """How far, and how long it will take."""
    finished = search.study.done()
    seconds = [each.outcome.seconds for each in finished[-8:] if each.outcome.seconds]
    text = f"{len(finished)} of {search.wanted} trials"
    if seconds:
        left = (search.wanted - len(finished)) * sum(seconds) / len(seconds) / pool.count
        text += f", about {left / 60:.0f} min left" if left > 90 else f", about {left:.0f} s left"
    search.reporter.progress(text, len(finished) / search.wanted)
