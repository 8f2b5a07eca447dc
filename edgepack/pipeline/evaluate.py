"""The float model and the .tflite on the same samples: answers kept in the store, metrics computed from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgepack import errors, runtime
from edgepack.data import Dataset, code_digests
from edgepack.data.usercode import user_function
from edgepack.numerics.metrics import Metric
from edgepack.numerics.statistics import agreement, output_error, paired_interval
from edgepack.pipeline.result import MetricResult
from edgepack.pipeline.workspace import Maker, Workspace
from edgepack.recipe import Recipe
from edgepack.records import Artifact, Candidate, Json, file_sha256

ANSWERS = "answers.npz"


def chosen_metric(recipe: Recipe, dataset: Dataset, *, trust_code: bool) -> Metric:
    """The recipe's metric, ready to be computed.

    Raises:
      DataError: the metric needs labels and there are none, or its function cannot be imported.
      TrustError: a "module:function" without --trust-code.
    """
    name = recipe.metric.computed
    function = None
    if ":" in name:
        function = user_function(
            name, trust_code=trust_code, import_paths=(recipe.directory,), purpose="[metric] name"
        )
    metric = Metric(name=name, function=function)
    if metric.needs_labels and not dataset.labels:
        raise errors.DataError(
            f"{recipe.path}: [metric] name = {name!r} needs labels, and [data.evaluation] has none: set "
            'labels = "array name" there, or use [metric] name = "agreement"'
        )
    return metric


def float_answers(candidate: Candidate, dataset: Dataset, workspace: Workspace) -> Path:
    """Outputs of a candidate over a dataset: .npz with one float32 array per output name."""
    name, parts, make = _float_answers(candidate, dataset, workspace)
    return workspace.produce(name, parts, make, tensorflow=True).files[ANSWERS]


def float_answers_ahead(candidate: Candidate, dataset: Dataset, workspace: Workspace) -> None:
    """Has TensorFlow compute them while the .tflite is run."""
    workspace.ahead(*_float_answers(candidate, dataset, workspace), tensorflow=True)


def _float_answers(
    candidate: Candidate, dataset: Dataset, workspace: Workspace
) -> tuple[str, dict[str, Json], Maker]:
    def make(directory: Path) -> Json:
        workspace.backend.call(
            "predict",
            source=str(candidate.path),
            dataset=dataset.to_json(),
            target=str(directory / ANSWERS),
        )
        return {}

    return "float answers", {"candidate": candidate.sha256, "data": dataset.sha256}, make


def tflite_answers(artifact: Artifact, dataset: Dataset, workspace: Workspace) -> Path:
    """Outputs of a .tflite over a dataset, dequantized, as LiteRT's default kernels compute them."""

    def done(fraction: float) -> None:
        workspace.reporter.progress(f"{dataset.count:,} samples", fraction)

    return workspace.produce(*_tflite_answers(artifact, dataset, done)).files[ANSWERS]


def tflite_answers_ahead(artifact: Artifact, dataset: Dataset, workspace: Workspace) -> None:
    """Has the model answer while TensorFlow works."""
    workspace.ahead(*_tflite_answers(artifact, dataset, None))


def _tflite_answers(
    artifact: Artifact, dataset: Dataset, done: Callable[[float], None] | None
) -> tuple[str, dict[str, Json], Maker]:
    def make(directory: Path) -> Json:
        runtime.predict(artifact.path, dataset, directory / ANSWERS, sha256=artifact.sha256, on_progress=done)
        return {}

    return "tflite answers", {"tflite": artifact.sha256, "data": dataset.sha256}, make


def compared(
    recipe: Recipe,
    metric: Metric,
    dataset: Dataset,
    float_path: Path,
    tflite_path: Path,
    workspace: Workspace,
) -> MetricResult:
    """The metric of both, their drop with its interval, and how far each output moved."""

    def make(directory: Path) -> Json:
        with np.load(float_path) as before, np.load(tflite_path) as after:
            return _compared(recipe, metric, dataset, dict(before), dict(after)).to_json()

    code = code_digests([metric.name], (recipe.directory,)) if metric.function else {}
    parts: dict[str, Json] = {
        "float": file_sha256(float_path),
        "tflite": file_sha256(tflite_path),
        "data": dataset.sha256,
        "metric": recipe.metric.model_dump(mode="json"),
        "code": dict(code),
    }
    return MetricResult.from_json(workspace.produce("compare", parts, make).record)


def _compared(
    recipe: Recipe,
    metric: Metric,
    dataset: Dataset,
    before: dict[str, npt.NDArray[Any]],
    after: dict[str, npt.NDArray[Any]],
) -> MetricResult:
    if set(before) != set(after):
        raise errors.ConversionError(
            f"the .tflite has the outputs {sorted(after)}, the Keras model {sorted(before)}; they cannot be compared"
        )
    for name, values in after.items():
        if not np.isfinite(values).all():
            raise errors.GateError(f"output {name!r} of the .tflite is not finite on the evaluation data")
    output = judged_output(recipe, dataset, list(before))
    labels = dataset.label(output) if metric.needs_labels else before[output]
    value = metric.value(before[output], labels), metric.value(after[output], labels)
    low, high = paired_interval(metric, before[output], after[output], labels)
    decides = before[output].ndim >= 2
    return MetricResult(
        name=metric.name,
        float_value=value[0],
        tflite_value=value[1],
        drop=metric.drop(*value),
        interval=(low, high),
        samples=dataset.count,
        agreement=agreement(before[output], after[output]) if decides else None,
        outputs={name: asdict(output_error(before[name], after[name])) for name in sorted(before)},
    )


def judged_output(recipe: Recipe, dataset: Dataset, names: list[str]) -> str:
    """The output that the metric looks at: the recipe's, the labelled one, or the only one.

    Raises:
      RecipeError: no such output, or several and none is named.
    """
    wanted = recipe.metric.output
    if wanted is not None:
        if wanted not in names:
            raise errors.RecipeError(
                f"{recipe.path}: [metric] output = {wanted!r}; the model has {', '.join(names)}"
            )
        return wanted
    labelled = [name for name in names if name in dataset.labels]
    if len(names) == 1:
        return names[0]
    if len(labelled) == 1:
        return labelled[0]
    raise errors.RecipeError(
        f"{recipe.path}: the model has the outputs {', '.join(names)}; say which one is judged with [metric] output"
    )
