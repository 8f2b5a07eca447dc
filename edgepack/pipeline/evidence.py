"""What a report looks into beyond build.json: answers, labels and a few samples, in the run's own folder.

The file holds evaluation data. It stays beside build.json, and no package has any of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from edgepack.data import Dataset
from edgepack.numerics import labelling
from edgepack.pipeline.evaluate import judged_output
from edgepack.recipe import Recipe
from edgepack.records import Artifact, Json
from edgepack.runtime.arrays import save_npz

FILE: Final = "evaluation.npz"
SCHEMA: Final = "edgepack.evaluation/1"
ANSWER_BYTES: Final = 64_000_000
"""Of one model's answers; of more, the first samples are kept."""
SAMPLE_BYTES: Final = 8_000_000
MOST_SAMPLES, MOST_CHANGED = 512, 48
"""Samples whose inputs are kept, and how many of them are chosen because their answer changed."""

Array = npt.NDArray[Any]


def write_evidence(
    out: Path,
    recipe: Recipe,
    dataset: Dataset,
    float_path: Path,
    baseline: Artifact,
    made: Mapping[str, tuple[Artifact, Path]],
) -> Path:
    """Writes the file.

    Args:
      float_path: answers of the float model.
      made: SHA-256 of a .tflite → the file and its answers.
    """
    with np.load(float_path, allow_pickle=False) as found:
        output = judged_output(recipe, dataset, list(found))
        before = found[output]
    kept = min(len(before), max(1, ANSWER_BYTES // max(1, before[:1].nbytes)))
    before = before[:kept]
    answers = {}
    for digest, (_, path) in made.items():
        with np.load(path, allow_pickle=False) as found:
            answers[digest] = found[output][:kept]
    rows = _chosen(dataset, before, list(answers.values()))
    arrays: dict[str, Array] = {
        "float": before,
        "rows": rows,
        "baseline": np.frombuffer(baseline.path.read_bytes(), np.uint8),
        **{f"answers_{digest}": values for digest, values in answers.items()},
        **{
            f"model_{digest}": np.frombuffer(artifact.path.read_bytes(), np.uint8)
            for digest, (artifact, _) in made.items()
        },
        **{f"input_{number}": dataset.stored(name)[rows] for number, name in enumerate(dataset.inputs)},
    }
    labels = dataset.label(output)
    if labels is not None:
        arrays["labels"] = np.asarray(labels[:kept])
    told = json.dumps(_told(recipe, dataset, output))
    arrays["told"] = np.frombuffer(told.encode(), np.uint8)
    save_npz(out / FILE, arrays)
    return out / FILE


def _told(recipe: Recipe, dataset: Dataset, output: str) -> dict[str, Json]:
    return {
        "schema": SCHEMA,
        "output": output,
        "metric": recipe.metric.name,
        "classes": list(recipe.labels or dataset.classes),
        "count": dataset.count,
        "inputs": list(dataset.inputs),
        "preprocess": {name: affine.to_json() for name, affine in dataset.preprocess.items()},
    }


def _chosen(dataset: Dataset, before: Array, answers: list[Array]) -> Array:
    """Samples whose answer changed most, filled up with others that are evenly spread."""
    row_bytes = sum(dataset.stored(name)[:1].nbytes for name in dataset.inputs)
    most = int(max(1, min(MOST_SAMPLES, len(before), SAMPLE_BYTES // max(1, row_bytes))))
    moved = np.zeros(len(before))
    for after in answers:
        moved = np.maximum(moved, movement(before, after))
    changed = [row for row in np.argsort(-moved, kind="stable")[: min(MOST_CHANGED, most)] if moved[row] > 0]
    spread = np.unique(np.linspace(0, len(before) - 1, most).astype(np.int64))
    others = [row for row in spread if row not in set(changed)][: most - len(changed)]
    return np.array(sorted([*changed, *others]), np.int64)


def movement(before: Array, after: Array) -> npt.NDArray[np.float64]:
    """How far each sample's answer moved, [N]: above 1 where a decision changed, else below."""
    distance = np.abs(after.astype(np.float64) - before).reshape(len(before), -1).max(axis=1, initial=0.0)
    closeness = distance / (1.0 + distance)
    if before.ndim < 2:
        return np.asarray(closeness)
    return np.asarray(closeness + (labelling.same_decision(before, after) < 1.0))
