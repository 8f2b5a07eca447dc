"""A search that runs: generation after generation of trials, each told to the study as soon as it is done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field
from typing import Any, Final

from edgepack import errors
from edgepack.pipeline.reporter import Reporter
from edgepack.recipe import Recipe
from edgepack.recipe.opened import OpenRecipe
from edgepack.tune.executors import Workers
from edgepack.tune.job import Job, Outcome, Surroundings
from edgepack.tune.objectives import Objectives
from edgepack.tune.predicting import Predictor
from edgepack.tune.proposing import GenerationSampler
from edgepack.tune.selecting import Selector
from edgepack.tune.space import Space
from edgepack.tune.study import Study, plain_sampler

STARTS: Final = 3
"""How often a trial is started whose worker dies; then it counts as failed."""
PATIENCE_S: Final = 5.0
"""How often is looked whether the workers are still there."""


@dataclass(kw_only=True)
class Search:
    """What a running search has.

    Attributes:
      wanted: trials in all.
      time_s: no generation starts after so many seconds.
      predict: makes the predictor, once it is needed.
    """

    recipe: OpenRecipe
    time_s: float | None
    space: Space
    objectives: Objectives
    study: Study
    surroundings: Surroundings
    reporter: Reporter
    wanted: int
    predict: Callable[[], Predictor]
    began: float = field(default_factory=time.monotonic)

    @property
    def unfinished(self) -> bool:
        """Whether there is anything to do: trials to begin, or those that an interrupted search began."""
        return self.study.asked < self.wanted or self.study.interrupted

    @property
    def seed(self) -> int:
        own = self.recipe.settings.seed
        return self.recipe.some().seed if own is None else own


def run(search: Search, pool: Callable[[], Workers], *, close: bool) -> None:
    """Carries out what is left to do; the first generation may be the rest of one that was interrupted.

    Args:
      pool: makes or lends the workers, if there is anything to do.
      close: whether they end with the search.
    """
    study = search.study
    if not search.unfinished:
        return
    found, ended = pool(), False
    try:
        found.make_ready(_sent(search, 0, search.recipe.some()))
        while study.interrupted or (study.asked < search.wanted and not _late(search)):
            _carried_out(search, found, _generation(search))
        ended = True
    finally:
        if close:
            found.close(at_once=not ended)


def _generation(search: Search) -> dict[int, dict[str, Any]]:
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


def _late(search: Search) -> bool:
    limit = search.time_s
    return limit is not None and time.monotonic() - search.began > limit


def _sampler(search: Search, first: int) -> Any:
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


def _carried_out(search: Search, pool: Workers, points: Mapping[int, Mapping[str, Any]]) -> None:
    """All trials of a generation; each is told to the study as soon as it is done."""
    waiting: dict[Future[Outcome], int] = {}
    starts = dict.fromkeys(points, 0)
    jobs: dict[int, Job] = {}

    def start(number: int) -> None:
        starts[number] += 1
        waiting[pool.submit(jobs[number])] = number

    for number, values in sorted(points.items()):
        made = _job(search, number, values)
        if isinstance(made, Outcome):
            _told(search, made)
        else:
            jobs[number] = made
    for number in apart({number: job.stages for number, job in jobs.items()}):
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


def apart(stages: Mapping[int, Sequence[object]]) -> list[int]:
    """Trials in an order in which those that begin with the same stages are far from each other.

    What trials share is made once: whoever comes second at the same time would only wait for it. So what most others need
    is made first.

    Args:
      stages: of each trial, in the order in which they run.

    >>> apart({0: ["b", 1], 1: ["a", 1], 2: ["a", 1], 3: ["a", 2]})
    [1, 0, 3, 2]
    """
    begun: Counter[str] = Counter()
    left = {number: _beginnings(each) for number, each in sorted(stages.items())}
    wanted = Counter(beginning for each in left.values() for beginning in each)
    order: list[int] = []
    while left:
        number = min(
            left,
            key=lambda each: (
                [begun[beginning] for beginning in left[each]],
                [-wanted[beginning] for beginning in left[each]],
                each,
            ),
        )
        begun.update(left.pop(number))
        order.append(number)
    return order


def _beginnings(stages: Sequence[object]) -> list[str]:
    """Its first stage, its first two, and so on."""
    return [repr(stages[: count + 1]) for count in range(len(stages))]


def _error(future: Future[Outcome]) -> BaseException | None:
    try:
        return future.exception()
    except CancelledError as cancelled:
        return cancelled


def _job(search: Search, number: int, values: Mapping[str, Any]) -> Job | Outcome:
    """What is sent to a worker, or the outcome of values that do not go together."""
    recipe = search.recipe
    try:
        closed = recipe.closed(values)
    except errors.RecipeError as error:
        return Outcome(number=number, error=str(error))
    return _sent(search, number, closed)


def _sent(search: Search, number: int, closed: Recipe) -> Job:
    tables = closed.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return Job(number=number, tables=tables, path=str(search.recipe.path), surroundings=search.surroundings)


def _told(search: Search, outcome: Outcome) -> None:
    values = None if outcome.error is not None else search.objectives.values(outcome.measured)
    search.study.tell(outcome, values)
    shown = f"trial {outcome.number}"
    if outcome.error is not None:
        search.reporter.note("warning", f"{shown} failed: {outcome.error.splitlines()[0]}")
        return
    assert values is not None
    told = ", ".join(
        f"{name} {value:,.6g}" for name, value in zip(search.objectives.names, values, strict=True)
    )
    search.reporter.note("note", f"{shown}: {told} ({outcome.seconds:.1f} s)")


def _progress(search: Search, pool: Workers) -> None:
    """How far, and how long it will take."""
    finished = search.study.done()
    seconds = [each.outcome.seconds for each in finished[-8:] if each.outcome.seconds]
    text = f"{len(finished)} of {search.wanted} trials"
    if seconds:
        left = (search.wanted - len(finished)) * sum(seconds) / len(seconds) / pool.count
        text += f", about {left / 60:.0f} min left" if left > 90 else f", about {left:.0f} s left"
    search.reporter.progress(text, len(finished) / search.wanted)
