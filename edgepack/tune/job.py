"""What is sent to a worker for one trial, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgepack import tables
from edgepack.recipe import Recipe


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

    def recipe(self) -> Recipe:
        """The recipe itself.

        Raises:
          RecipeError: its values do not go together.
        """
        return tables.validate(Recipe, self.tables, source=self.path).located(Path(self.path))


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
