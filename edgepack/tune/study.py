"""The study: Optuna's storage holds every trial from before it starts, so that nothing is lost whenever a search ends."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from edgepack import errors
from edgepack.records import Json
from edgepack.tune.job import Outcome
from edgepack.tune.space import Space

FILE: Final = "study.db"
IDENTITY: Final = "edgepack"
"""User attribute of a study: what it is a search of; of a trial: what came of it."""
UNTOLD: Final = (TrialState.RUNNING, TrialState.WAITING)


@dataclass(frozen=True, kw_only=True)
class Done:
    """A finished trial as later choices see it; one that failed has an `outcome.error`."""

    number: int
    params: Mapping[str, Any]
    outcome: Outcome


class Study:
    """One search, kept in Optuna.

    Args:
      url: of a database ("sqlite:///…", "postgresql://…").
      identity: what it is a search of; a study of something else is refused.

    Raises:
      RecipeError: the study that is there searched something else.
      StorageError: the database cannot be opened.
    """

    def __init__(
        self, url: str, name: str, space: Space, objectives: Sequence[str], identity: Mapping[str, Json]
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._space = space
        self._distributions = space.distributions()
        try:
            self._storage = optuna.storages.RDBStorage(url)
            self._study = optuna.create_study(
                storage=self._storage,
                study_name=name,
                directions=[StudyDirection.MINIMIZE] * len(objectives),
                load_if_exists=True,
            )
        except Exception as error:  # SQLAlchemy, its drivers and Optuna each have their own
            raise errors.StorageError(
                f"{url}: the study cannot be opened: {str(error).splitlines()[0]}"
            ) from error
        known = self._study.user_attrs.get(IDENTITY)
        if known is None:
            self._study.set_user_attr(IDENTITY, dict(identity))
        elif known != dict(identity):
            changed = sorted(key for key in {*known, *identity} if known.get(key) != identity.get(key))
            self.close()
            raise errors.RecipeError(
                f"{url}: holds a search of something else ({', '.join(changed)} differ); give another --out, or remove it "
                "to start anew"
            )

    def close(self) -> None:
        """Closes the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    @property
    def asked(self) -> int:
        """How many trials there are, running ones included."""
        return len(self._study.get_trials(deepcopy=False))

    def done(self, before: int | None = None) -> list[Done]:
        """Finished trials in the order of their numbers, those below `before`."""
        finished = self._study.get_trials(
            deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED)
        )
        return [_done(each) for each in finished if before is None or each.number < before]

    @property
    def interrupted(self) -> bool:
        """Whether there are trials that were begun and never told: those of a search that was killed."""
        return bool(self._study.get_trials(deepcopy=False, states=UNTOLD))

    def running(self, sampler: BaseSampler) -> dict[int, dict[str, Any]]:
        """Those trials by number, with their values; `sampler` gives what a trial did not get any more."""
        self._study.sampler = sampler
        left = self._study.get_trials(deepcopy=False, states=UNTOLD)
        trials = {each.number: optuna.trial.Trial(self._study, each._trial_id) for each in left}
        return {number: self._suggested(trial) for number, trial in sorted(trials.items())}

    def ask(self, sampler: BaseSampler) -> tuple[int, dict[str, Any]]:
        """Begins a trial at the point that the sampler gives."""
        self._study.sampler = sampler
        trial = self._study.ask(fixed_distributions=self._distributions)
        return trial.number, dict(trial.params)

    def tell(self, outcome: Outcome, values: Sequence[float] | None) -> None:
        """Keeps what came of a trial; `values` is None where it failed."""
        trials = self._study.get_trials(deepcopy=False)
        trial_id = next(each._trial_id for each in trials if each.number == outcome.number)
        self._storage.set_trial_user_attr(trial_id, IDENTITY, asdict(outcome))
        if values is None:
            self._study.tell(outcome.number, state=TrialState.FAIL)
        else:
            self._study.tell(outcome.number, list(values))

    def _suggested(self, trial: optuna.trial.Trial) -> dict[str, Any]:
        return {name: _suggest(trial, name, each) for name, each in self._distributions.items()}


def url_of(out: Path) -> str:
    """The database of a search whose output is `out`."""
    return f"sqlite:///{out / FILE}"


def plain_sampler(name: str, seed: int, population: int) -> BaseSampler:
    """One of Optuna's own, for `[tune] sampler`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if name == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        if name == "nsga2":
            return optuna.samplers.NSGAIISampler(population_size=max(2, population), seed=seed)
        return optuna.samplers.TPESampler(seed=seed)


def _suggest(trial: optuna.trial.Trial, name: str, each: BaseDistribution) -> Any:
    """The value that the trial has, or that its sampler gives."""
    if isinstance(each, CategoricalDistribution):
        return trial.suggest_categorical(name, each.choices)
    if isinstance(each, FloatDistribution):
        return trial.suggest_float(name, each.low, each.high, step=each.step, log=each.log)
    assert isinstance(each, optuna.distributions.IntDistribution)
    return trial.suggest_int(name, each.low, each.high, step=each.step, log=each.log)


def _done(trial: FrozenTrial) -> Done:
    told = trial.user_attrs.get(IDENTITY, {})
    failed = trial.state != TrialState.COMPLETE
    return Done(
        number=trial.number,
        params=dict(trial.params),
        outcome=Outcome(
            number=trial.number,
            measured=dict(told.get("measured", {})),
            broken=tuple(told.get("broken", ())),
            error=told.get("error") or ("ended without an answer" if failed else None),
            seconds=float(told.get("seconds", 0.0)),
        ),
    )
