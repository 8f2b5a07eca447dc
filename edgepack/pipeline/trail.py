"""Where the model stood after each stage: its metric on some evaluation samples, and what its weights would weigh."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack import errors, gate
from edgepack.data import Dataset, code_digests
from edgepack.data.subset import subset
from edgepack.facts import LayerFacts
from edgepack.numerics.entropy import BIAS_BYTES, BYTES_PER_VALUE, SCALE_BYTES, coded_bytes, entropy_bytes
from edgepack.numerics.metrics import Metric
from edgepack.pipeline.evaluate import ANSWERS, float_answers, judged_output
from edgepack.pipeline.steps import Worked
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe
from edgepack.records import Candidate, Json

SAMPLES: Final = 256
"""Of the evaluation data, evenly spread: enough to see which stage cost what, in a second a stage."""


def trail(
    recipe: Recipe, metric: Metric, dataset: Dataset, worked: Worked, workspace: Workspace
) -> list[dict[str, Json]]:
    """One entry for the float model and each stage after it; () where there was no stage.

    Each has the keys of `report.documents.StageLine`.
    """
    if len(worked.passed) < 2:
        return []
    answers = float_answers(worked.passed[0][1], dataset, workspace)
    rows = np.unique(np.linspace(0, dataset.count - 1, SAMPLES).astype(np.int64))

    def make(directory: Path) -> Json:
        part = subset(dataset, rows.tolist(), directory)
        with np.load(answers, allow_pickle=False) as whole:
            output = judged_output(recipe, dataset, list(whole))
            before = whole[output][rows]
        labels = part.label(output) if metric.needs_labels else before
        stood: list[Json] = []
        for number, (title, candidate) in enumerate(worked.passed):
            line: dict[str, Json] = {"stage": title, "samples": len(rows), "metric": None}
            try:
                line["estimated_bytes"] = _weight(candidate, recipe)
                after = before if number == 0 else _answers(candidate, part, output, workspace, directory)
                line["metric"] = metric.value(after, labels)
            except errors.EdgepackError as error:  # what is only looked at must not end a build
                line["reason"] = str(error)
            stood.append(line)
        return stood

    parts: dict[str, Json] = {
        "passed": [[title, candidate.sha256] for title, candidate in worked.passed],
        "data": dataset.sha256,
        "metric": recipe.metric.model_dump(mode="json"),
        "code": dict(code_digests([metric.name], (recipe.directory,))) if metric.function else None,
        "samples": SAMPLES,
    }
    found: list[dict[str, Json]] = workspace.produce(
        "look at the stages", parts, make, tensorflow=True
    ).record
    return found


def _answers(
    candidate: Candidate, part: Dataset, output: str, workspace: Workspace, directory: Path
) -> npt.NDArray[Any]:
    target = directory / ANSWERS
    workspace.backend.call(
        "predict", source=str(candidate.path), dataset=part.to_json(), target=str(target), traced=False
    )
    with np.load(target, allow_pickle=False) as found:
        answers: npt.NDArray[Any] = found[output]
    target.unlink()
    return answers


def _weight(candidate: Candidate, recipe: Recipe) -> int:
    return estimated_bytes(gate.layer_facts(gate.read(candidate.path, custom=recipe.model.custom)))


def estimated_bytes(layers: tuple[LayerFacts, ...]) -> int:
    """What the weights would weigh as delivered int8, one scale a channel: entropy of the codes, scales and biases."""
    total = 0.0
    for layer in layers:
        for kernel in layer.kernels:
            rows = np.asarray(kernel.by_channel(), np.float32)
            total += _coded(rows) + len(rows) * (SCALE_BYTES + BIAS_BYTES)
    return round(total)


def _coded(rows: npt.NDArray[np.float32]) -> float:
    """Bytes of int8 codes: of all channels together, or one after the other where each has few values of its own."""
    reach = np.abs(rows).max(axis=1, initial=0.0, keepdims=True)
    codes = np.rint(rows * (127.0 / np.where(reach > 0, reach, 1.0))).astype(np.int64) + 127
    counts = [np.bincount(row, minlength=255) for row in codes]
    together = coded_bytes(np.sum(counts, axis=0))
    return min(together, sum(entropy_bytes(row) + BYTES_PER_VALUE * np.count_nonzero(row) for row in counts))
