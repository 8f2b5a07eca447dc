"""One run of a recipe: what all of its packages share, and how a file of it is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgepack.numerics.metrics import Metric
from edgepack.pipeline import evaluate
from edgepack.pipeline.joint import Planned
from edgepack.pipeline.result import MetricResult
from edgepack.pipeline.sources import Datasets, Source
from edgepack.pipeline.steps import Worked
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe
from edgepack.records import Artifact, Candidate


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user says beside the recipe.

    Attributes:
      devices: profile names; () builds for no particular device.
      out: directory for packages and build.json.
      bench: whether to measure latency on this machine.
      emulate: whether each device's package is run on the emulated device as well.
      evidence: whether answers and samples are kept beside build.json for reports.
      pack: whether packages are written; without, the results only name the .tflite files in the store.
    """

    devices: tuple[str, ...] = ()
    out: Path
    keep_failed: bool = False
    bench: bool = True
    emulate: bool = False
    evidence: bool = True
    pack: bool = True
    trust_code: bool = False
    trust_input: bool = False
    memory_bytes: int | None = None
    cache: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """What every device's package of one run shares."""

    recipe: Recipe
    options: Options
    workspace: Workspace
    source: Source
    original: Candidate
    datasets: Datasets
    metric: Metric
    worked: Worked
    baseline: Artifact
    planned: Planned | None

    def measured(self, artifact: Artifact) -> MetricResult:
        """The metric of a .tflite beside the original's."""
        return compared(self.recipe, self.metric, self.datasets, self.original, artifact, self.workspace)

    def compression_drop(self) -> float:
        """What the compressed Keras model loses before it is quantized."""
        if self.worked.candidate.sha256 == self.original.sha256:
            return 0.0
        data = self.datasets.evaluation
        original = evaluate.float_answers(self.original, data, self.workspace)
        compressed = evaluate.float_answers(self.worked.candidate, data, self.workspace)
        return evaluate.compared(self.recipe, self.metric, data, original, compressed, self.workspace).drop


def compared(
    recipe: Recipe,
    metric: Metric,
    datasets: Datasets,
    original: Candidate,
    artifact: Artifact,
    workspace: Workspace,
) -> MetricResult:
    """The metric of a .tflite beside the original's, from both models' answers to the evaluation data."""
    evaluate.float_answers_ahead(original, datasets.evaluation, workspace)
    answers = evaluate.tflite_answers(artifact, datasets.evaluation, workspace)
    float_answers = evaluate.float_answers(original, datasets.evaluation, workspace)
    return evaluate.compared(recipe, metric, datasets.evaluation, float_answers, answers, workspace)
