"""The metric of one file on a recipe's evaluation data, whatever kind of file it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgepack import errors, tflite
from edgepack.data import Dataset
from edgepack.pipeline import evaluate
from edgepack.pipeline.pins import model_sha256
from edgepack.pipeline.sources import import_candidate, open_dataset, open_source
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import NO_EVALUATION, Recipe
from edgepack.records import Candidate, Json, TensorSpec


@dataclass(frozen=True, kw_only=True)
class Score:
    """One model's metric.

    Attributes:
      sha256: of the file that was measured.
      runtime: what computed the answers.
    """

    metric: str
    value: float
    samples: int
    sha256: str
    runtime: str

    def to_json(self) -> dict[str, Json]:
        return {
            "metric": self.metric,
            "value": self.value,
            "samples": self.samples,
            "sha256": self.sha256,
            "runtime": self.runtime,
        }


def score_tflite(path: Path, recipe: Recipe, workspace: Workspace, *, trust_code: bool) -> Score:
    """Metric of a .tflite with LiteRT's default kernels."""
    artifact = tflite.adopt(path)
    dataset = _dataset(
        recipe, tuple(_keras_side(spec) for spec in artifact.inputs), workspace, trust_code=trust_code
    )
    answers = evaluate.tflite_answers(artifact, dataset, workspace)
    return _scored(recipe, dataset, answers, artifact.sha256, "litert", trust_code=trust_code)


def score_keras(
    path: Path, recipe: Recipe, workspace: Workspace, *, trust_code: bool, trust_input: bool
) -> Score:
    """Metric of a Keras model as TensorFlow computes it."""
    model = recipe.model.model_copy(update={"path": str(path.resolve()), "sha256": None})
    other = recipe.model_copy(update={"model": model}).located(recipe.path)
    source = open_source(other, workspace, trust_input=trust_input)
    dataset = _dataset(recipe, source.inputs, workspace, trust_code=trust_code)
    candidate: Candidate = import_candidate(other, source, workspace, trust_input=trust_input)
    answers = evaluate.float_answers(candidate, dataset, workspace)
    return _scored(recipe, dataset, answers, model_sha256(path), "tensorflow", trust_code=trust_code)


def _dataset(
    recipe: Recipe, specs: tuple[TensorSpec, ...], workspace: Workspace, *, trust_code: bool
) -> Dataset:
    if recipe.data.evaluation is None:
        raise errors.RecipeError(f"{recipe.path}: {NO_EVALUATION}")
    return open_dataset(recipe, "evaluation", recipe.data.evaluation, specs, workspace, trust_code=trust_code)


def _scored(
    recipe: Recipe, dataset: Dataset, answers: Path, sha256: str, runtime: str, *, trust_code: bool
) -> Score:
    metric = evaluate.chosen_metric(recipe, dataset, trust_code=trust_code)
    if not metric.needs_labels:
        raise errors.RecipeError(
            f"{recipe.path}: [metric] {metric.name!r} compares two models; to score one, name a metric with labels"
        )
    with np.load(answers) as outputs:
        found: dict[str, Any] = dict(outputs)
    output = evaluate.judged_output(recipe, dataset, list(found))
    return Score(
        metric=metric.name,
        value=metric.value(found[output], dataset.label(output)),
        samples=dataset.count,
        sha256=sha256,
        runtime=runtime,
    )


def _keras_side(spec: TensorSpec) -> TensorSpec:
    """An input as the data are bound to it: real values, any number of samples."""
    quantized = spec.scale is not None
    return replace(
        spec,
        shape=(None, *spec.shape[1:]),
        dtype="float32" if quantized else spec.dtype,
        scale=None,
        zero_point=None,
    )
