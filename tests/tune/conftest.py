"""A search without TensorFlow: trials answer by a formula, and whoever runs them can be made to die."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edgepack.pipeline.reporter import Silent
from edgepack.recipe.opened import OpenRecipe, load_open
from edgepack.tune import result, search
from edgepack.tune.job import Job, Outcome
from edgepack.tune.kernel_proxy import Cost
from edgepack.tune.result import TuneResult
from tests.tune.commands import Local, finished, project, start

RECIPE = """edgepack = 1
name = "made-up"
version = "1.0.0"
[model]
path = "model.keras"
[data.calibration]
path = "calib.npz"
[data.evaluation]
path = "evaluation.npz"
[metric]
name = "top1"
[[stage]]
use = "prune"
sparsity = { low = 0.1, high = 0.9, step = 0.1 }
[[stage]]
use = "cluster"
clusters = [4, 8, 16, 32]
per = ["channel", "layer"]
[budget]
max_drop = 0.1
"""


class Killed(BaseException):
    """The search ends here, as by a signal: nothing catches it."""


def formula(job: Job) -> dict[str, float | None]:
    """A trade-off: more zeros and fewer values are smaller and worse."""
    prune, cluster = job.tables["stage"]
    zeros, values = float(prune["sparsity"]), int(cluster["clusters"])
    coarse = 0.2 / values * (1.6 if cluster["per"] == "layer" else 1.0)
    drop = 0.02 * zeros**4 + coarse**1.5
    size = 20_000 * (1.05 - zeros) * (2 + values).bit_length() + (0 if cluster["per"] == "layer" else 900)
    return {"drop": drop, "metric": 0.9 - drop, "delivered_bytes": size, "file_bytes": 90e3, "macs": 1e6}


@dataclass
class Pool:
    """Runs trials in place.

    Attributes:
      lives: trials that are carried out before the search is killed; None for all.
      answer: what a trial says.
    """

    answer: Callable[[Job], dict[str, float | None]] = formula
    lives: int | None = None
    begun: list[int] = field(default_factory=list)
    count: int = 1

    def make_ready(self, job: Job) -> None: ...

    def submit(self, job: Job) -> Future[Outcome]:
        if self.lives is not None and len(self.begun) >= self.lives:
            raise Killed
        self.begun.append(job.number)
        future: Future[Outcome] = Future()
        try:
            future.set_result(Outcome(number=job.number, measured=self.answer(job), seconds=0.1))
        except ValueError as error:
            future.set_result(Outcome(number=job.number, error=str(error)))
        return future

    def lost(self, error: BaseException) -> bool:
        return False

    def require(self) -> None: ...

    def close(self, *, at_once: bool) -> None: ...


class Prediction:
    """Knows the formula roughly."""

    def __init__(self, recipe: OpenRecipe) -> None:
        self._recipe = recipe

    def predict(self, values: dict[str, Any]) -> Cost:
        tables = self._recipe.closed(values).model_dump(mode="json")
        told = formula(Job(number=0, tables=tables, path="", surroundings=None))  # type: ignore[arg-type]
        assert told["drop"] is not None and told["delivered_bytes"] is not None
        return Cost(loss=20 * told["drop"] ** 1.2, delivered_bytes=0.9 * told["delivered_bytes"], weights=1.0)


Tuned = Callable[..., TuneResult]


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tuned:
    """Runs a made-up search in `out` of a folder of its own."""
    monkeypatch.setattr(search, "predictor", lambda recipe, *_: Prediction(recipe))
    monkeypatch.setattr(search, "_begin_backend", lambda *_, **__: None)
    monkeypatch.setattr(result, "_built", lambda *_: None)
    path = tmp_path / "recipe.toml"

    def run(pool: Pool, out: str = "out", text: str = RECIPE, **options: Any) -> TuneResult:
        path.write_text(text)
        monkeypatch.setattr(search, "workers", lambda *_: pool)
        settings = search.Options(out=tmp_path / out, cache=tmp_path / "cache", **{"trials": 8, **options})
        return search.tune(load_open(path), settings, Silent())

    return run


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory) -> Local:
    """One search of the digits with an empty store."""
    folder = tmp_path_factory.mktemp("local")
    recipe = project(folder / "project", trials=6, generation=4)
    found = finished(start(recipe, folder / "out", folder / "cache"), folder / "out", timeout_s=1200)
    return Local(recipe=recipe, out=folder / "out", cache=folder / "cache", found=found)
