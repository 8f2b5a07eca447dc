"""What a search came to: tune.json, the front, the frozen recipe and its package.

The schema is "edgepack.tune/1". Fields are added, never renamed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgepack import device
from edgepack.durable import write_atomically
from edgepack.pipeline.build import Options, build
from edgepack.pipeline.reporter import Reporter
from edgepack.pipeline.result import BuildResult
from edgepack.recipe import limits, load
from edgepack.recipe.opened import OpenRecipe
from edgepack.tune import pareto
from edgepack.tune.job import Surroundings
from edgepack.tune.kept_backend import kept_backend
from edgepack.tune.objectives import Objectives
from edgepack.tune.study import Done

SCHEMA: Final = "edgepack.tune/1"
FILE: Final = "tune.json"
TRIALS: Final = "trials"


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    """A whole search.

    Attributes:
      front: numbers of the trials within the limits that no other one dominates, by their objectives.
      chosen: the trial that the rule takes; None where none keeps the limits.
      frozen: its recipe.
      built: what building the frozen recipe gave.
    """

    recipe: OpenRecipe
    objectives: Objectives
    trials: tuple[Done, ...]
    front: tuple[int, ...]
    chosen: int | None
    frozen: Path | None
    built: BuildResult | None
    out: Path
    seconds: float

    @property
    def passed(self) -> bool:
        return self.built is not None and self.built.passed

    def reasons(self, trial: Done) -> list[str]:
        """Why a trial is not on offer; () where it is."""
        missed = self.objectives.missed(trial.outcome.measured)
        limit = self.objectives.limits
        said = [f"{name} is over {limit[name]:g} by {over:g}" for name, over in sorted(missed.items())]
        return [*said, *trial.outcome.broken]

    def to_json(self) -> dict[str, Any]:
        """The documented object."""
        some = self.recipe.some()
        return {
            "schema": SCHEMA,
            "name": some.name,
            "version": some.version,
            "status": "passed" if self.passed else "failed",
            "reasons": self._why(),
            "source": str(self.recipe.path),
            "objectives": self.objectives.to_json(),
            "limits": dict(self.objectives.limits),
            "parameters": [field.to_json() for field in self.recipe.fields],
            "choose": self.objectives.choose,
            "sampler": self.recipe.settings.sampler,
            "trials": [self._trial(each) for each in self.trials],
            "front": list(self.front),
            "chosen": self.chosen,
            "recipe": None if self.frozen is None else str(self.frozen),
            "package": self._package(),
            "build": None if self.built is None else self.built.to_json(),
            "seconds": round(self.seconds, 3),
        }

    def _why(self) -> list[str]:
        if self.built is not None:
            return list(self.built.to_json()["reasons"])
        finished = [each for each in self.trials if each.outcome.error is None]
        if not self.trials:
            return ["no trial was begun; give --time more, or --trials"]
        if not finished:
            return ["every trial failed; the first one says: " + str(self.trials[0].outcome.error)]
        nearest = min(finished, key=lambda each: len(self.reasons(each)))
        return [
            f"no trial keeps the limits; trial {nearest.number} comes near: {'; '.join(self.reasons(nearest))}; allow "
            "more, or leave more open"
        ]

    def _package(self) -> str | None:
        package = None if self.built is None else self.built.packages[0].package
        return None if package is None else str(package)

    def _trial(self, trial: Done) -> dict[str, Any]:
        outcome, failed = trial.outcome, trial.outcome.error is not None
        return {
            "number": trial.number,
            "state": "failed" if failed else "complete",
            "params": {field.name: field.decoded(trial.params[field.name]) for field in self.recipe.fields}
            if trial.params
            else {},
            "values": None if failed else self.objectives.values(outcome.measured),
            "measured": dict(outcome.measured),
            "reasons": [] if failed else self.reasons(trial),
            "error": outcome.error,
            "seconds": outcome.seconds,
            "recipe": None if failed else str(self.out / TRIALS / _file(trial)),
            "package": self._package() if trial.number == self.chosen else None,
        }


def settled(
    recipe: OpenRecipe,
    objectives: Objectives,
    trials: Sequence[Done],
    out: Path,
    surroundings: Surroundings,
    reporter: Reporter,
    *,
    seconds: float,
) -> TuneResult:
    """The front, the chosen point, its frozen recipe and its package; everything written to `out`."""
    offered = [each for each in trials if _offered(objectives, each)]
    points = np.array([objectives.values(each.outcome.measured) for each in offered], np.float64)
    places = sorted(pareto.front(points), key=lambda place: tuple(points[place])) if offered else []
    chosen, frozen, built = None, None, None
    _write_recipes(recipe, trials, out)
    if places:
        taken = offered[places[objectives.chosen([list(points[place]) for place in places])]]
        chosen = taken.number
        frozen = out / f"{recipe.some().name}.toml"
        write_atomically(frozen, recipe.frozen(taken.params, out).encode())
        built = _built(frozen, out, surroundings, reporter)
    result = TuneResult(
        recipe=recipe,
        objectives=objectives,
        trials=tuple(trials),
        front=tuple(offered[place].number for place in places),
        chosen=chosen,
        frozen=frozen,
        built=built,
        out=out,
        seconds=seconds,
    )
    write_atomically(out / FILE, (json.dumps(result.to_json(), indent=1) + "\n").encode())
    return result


def _offered(objectives: Objectives, trial: Done) -> bool:
    outcome = trial.outcome
    return outcome.error is None and not outcome.broken and not objectives.missed(outcome.measured)


def _write_recipes(recipe: OpenRecipe, trials: Sequence[Done], out: Path) -> None:
    folder = out / TRIALS
    folder.mkdir(exist_ok=True)
    for trial in trials:
        if trial.outcome.error is None and not (folder / _file(trial)).exists():
            write_atomically(folder / _file(trial), recipe.frozen(trial.params, folder).encode())


def _file(trial: Done) -> str:
    return f"{trial.number:04}.toml"


def _built(frozen: Path, out: Path, around: Surroundings, reporter: Reporter) -> BuildResult:
    """The frozen recipe, built from the store: what the trial made is found there."""
    recipe = load(frozen)
    target = None if around.device is None else device.load(around.device, beside=recipe.directory)
    options = Options(
        devices=() if around.device is None else (around.device,),
        out=out,
        bench=limits(recipe, target).max_latency_ms is not None,
        trust_code=around.trust_code,
        trust_input=around.trust_input,
        memory_bytes=around.memory_bytes,
        cache=Path(around.cache),
    )
    return build(recipe, options, reporter, backend=kept_backend(recipe, around))


def table(result: TuneResult) -> list[Mapping[str, str]]:
    """The front for a person, one row a point."""
    trials = {each.number: each for each in result.trials}
    rows: list[Mapping[str, str]] = []
    for number in result.front:
        trial = trials[number]
        values = result.objectives.values(trial.outcome.measured)
        shown = {name: f"{value:,.6g}" for name, value in zip(result.objectives.names, values, strict=True)}
        settings = {
            field.name: str(field.decoded(trial.params[field.name])) for field in result.recipe.fields
        }
        rows.append({"": "→" if number == result.chosen else "", "trial": str(number), **shown, **settings})
    return rows
