"""A case laid out on disk once: for edgepack's scoring as a dataset, for the peers as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import gate, tables
from edgepack.data import Dataset
from edgepack.data.materialize import materialize
from edgepack.numerics.metrics import Metric
from edgepack.recipe import Recipe
from tests.benchmarks.scoreboard.cases import Case, Making, recipe_text


@dataclass(frozen=True, kw_only=True)
class Material:
    """What every row of a case starts from.

    Attributes:
      folder: of everything that the case makes.
      recipe: the case's own, without stages.
      generation: which Keras wrote the model: "keras2" or "keras3".
      metric: what the models are judged by.
      evaluation: the labelled samples.
      arrays: "calibration", "evaluation", perhaps "training" → .npz for the peers: every input by its Keras name as
        the model takes it, labels as "labels".
    """

    case: Case
    folder: Path
    recipe: Recipe
    generation: str
    metric: Metric
    evaluation: Dataset
    arrays: dict[str, Path]

    @property
    def labels(self) -> npt.NDArray[Any] | None:
        """Ground truth of the evaluation samples."""
        return self.evaluation.label() if self.metric.needs_labels else None


def lay_out(case: Case, folder: Path) -> Material:
    """Reads the case's data through edgepack's own data room.

    Raises:
      EdgepackError: the model or the data cannot be read.
    """
    folder.mkdir(parents=True)
    path = folder / "plain.toml"
    path.write_text(recipe_text(case, Making(trains=True)))
    recipe = tables.validate(Recipe, tables.read(path), source=path).located(path)
    graph = gate.read(recipe.model_path)
    datasets = {}
    for name in ("calibration", "evaluation", "training"):
        source = getattr(recipe.data, name)
        if source is not None:
            place = folder / name
            place.mkdir()
            datasets[name] = materialize(
                source.resolved(recipe.directory), recipe.preprocess, graph.specs, place
            )
    return Material(
        case=case,
        folder=folder,
        recipe=recipe,
        generation=graph.generation,
        metric=Metric(name=recipe.metric.computed),
        evaluation=datasets["evaluation"],
        arrays={name: _plain_arrays(dataset, folder / f"{name}.npz") for name, dataset in datasets.items()},
    )


def _plain_arrays(dataset: Dataset, target: Path) -> Path:
    arrays: dict[str, Any] = dataset.rows(0, dataset.count)
    labels = dataset.label()
    if labels is not None:
        arrays["labels"] = labels
    np.savez(target, **arrays)
    return target
