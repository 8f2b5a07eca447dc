"""What the data told before anything ran: notes for the user, or the end of the build."""

from __future__ import annotations

from pathlib import Path

from edgepack import errors
from edgepack.data import Dataset, Finding
from edgepack.data.lint import lint
from edgepack.pipeline.sources import Datasets
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe
from edgepack.records import Json


def of_data(recipe: Recipe, datasets: Datasets, workspace: Workspace) -> list[dict[str, str]]:
    """Findings of reading and of the calibration lint, told to the reporter as they are found.

    Raises:
      DataError: a finding that makes the build pointless.
      RecipeError: an integer scheme without calibration data.
    """
    if recipe.quantize.needs_calibration and datasets.calibration is None:
        raise errors.RecipeError(
            f"{recipe.path}: [data.calibration] is missing; scheme = {recipe.quantize.scheme!r} needs typical inputs "
            '(100 … 500, no labels); or choose scheme = "dynamic" or "float16"'
        )
    found = [finding for each in _sets(datasets) for finding in each.findings] + _linted(datasets, workspace)
    for finding in found:
        if finding.level == "error":
            raise errors.DataError(f"{recipe.path}: {finding.text}")
        workspace.reporter.note(finding.level, finding.text)
    return [{"level": finding.level, "text": finding.text} for finding in found]


def _linted(datasets: Datasets, workspace: Workspace) -> list[Finding]:
    def make(directory: Path) -> Json:
        found = lint(datasets.calibration, datasets.evaluation, datasets.training)
        return [{"level": finding.level, "text": finding.text} for finding in found]

    parts: dict[str, Json] = {
        "calibration": datasets.calibration.sha256 if datasets.calibration else None,
        "evaluation": datasets.evaluation.sha256,
        "training": datasets.training.sha256 if datasets.training else None,
    }
    return [Finding(**finding) for finding in workspace.produce("lint data", parts, make).record]


def _sets(datasets: Datasets) -> list[Dataset]:
    return [
        each for each in (datasets.calibration, datasets.evaluation, datasets.training) if each is not None
    ]
