"""Which point is tried next: a sampler for Optuna that gives out a generation's points, chosen together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

Batch: TypeAlias = Sequence[Mapping[str, Any]]


class GenerationSampler(BaseSampler):
    """Gives trial n of a study the point n − first of a batch.

    Args:
      first: number of the generation's first trial.
      chosen: makes the batch, when it is first needed; it must only depend on what finished before `first`.
    """

    def __init__(self, first: int, chosen: Callable[[], Batch]) -> None:
        self._first, self._chosen = first, chosen
        self._batch: Batch | None = None

    @property
    def batch(self) -> Batch:
        """The points of the generation."""
        if self._batch is None:
            self._batch = self._chosen()
        return self._batch

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self.batch[trial.number - self._first][param_name]
