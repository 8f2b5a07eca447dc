"""Runs the Keras side of a plan: candidate after candidate, each found again in the store by what made it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgepack import errors, gate, plan
from edgepack.numerics import clustering
from edgepack.numerics.layer_statistics import DOUBT
from edgepack.pipeline.observing import Observed, observed
from edgepack.pipeline.pins import model_sha256
from edgepack.pipeline.sources import Datasets, Source, open_dataset
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe
from edgepack.records import Candidate, Claim, Json, LedgerEntry
from edgepack.stages import Distill, Finetune, StageResult

CANDIDATE = "candidate.h5"


@dataclass(kw_only=True)
class Worked:
    """Where the Keras side ended.

    Attributes:
      candidate: the last file.
      claims: what the exported file must show.
      keep: what every further training must hold, by layer; see `plan.Step`.
      ledger: what each step did to each layer, as found in its file.
      passed: (title, file) of the model before any step and after each.
    """

    candidate: Candidate
    claims: tuple[Claim, ...] = ()
    keep: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    ledger: list[LedgerEntry] = field(default_factory=list)
    passed: tuple[tuple[str, Candidate], ...] = ()


def run_steps(
    resolved: plan.Plan,
    recipe: Recipe,
    source: Source,
    first: Candidate,
    datasets: Datasets,
    workspace: Workspace,
    *,
    trust_code: bool,
    after: Worked | None = None,
) -> Worked:
    """Runs every step of the plan, and of the plan for the student once there is one.

    Args:
      first: the model before compression, which teaches.
      after: where the steps go on from, with what they must hold; None to start with `first`.
    """
    worked = after or Worked(candidate=first)
    if after is None:
        worked.ledger.append(totals_entry("float model", totals(first.path, recipe)))
        worked.passed = (("float model", first),)
    found: dict[int, dict[str, dict[str, Json]]] = {}
    claims: list[Claim] = []
    origins: dict[str, str] = {}
    current: plan.Plan | None = resolved
    while current is not None:
        worked.ledger += plan.ledger(current)
        for planned in current.steps:
            step = replace(planned, keep={**worked.keep, **planned.keep})
            result, record = _run(
                step, recipe, source, first, worked, datasets, workspace, trust_code=trust_code
            )
            found.setdefault(step.number, {}).update(
                {name: dict(values) for name, values in result.layers.items()}
            )
            origins = {} if step.settings.makes_new_architecture else origins | _origins(result, origins)
            worked.ledger += [*_ledger(step, result), totals_entry(step.title, record["totals"])]
            worked.passed = (*worked.passed, (step.title, worked.candidate))
        worked.ledger += current.notes
        claims = list(current.claims)
        current = _resumed(current, worked.candidate, recipe, origins)
    worked.claims = (*worked.claims, *plan.settle(claims, found))
    return worked


def _resumed(
    done: plan.Plan, candidate: Candidate, recipe: Recipe, origins: Mapping[str, str]
) -> plan.Plan | None:
    """The plan for what was left for later: for the student, or the layers that a step has decided on."""
    if not done.later:
        return None
    facts = gate.layer_facts(gate.read(candidate.path, custom=recipe.model.custom))
    return plan.resume(done, facts, origins=origins)


def _origins(result: StageResult, known: Mapping[str, str]) -> dict[str, str]:
    """Factor → the layer of the model that it came from."""
    found = {}
    for layer, values in result.layers.items():
        factors = values.get("factors")
        for factor in factors if isinstance(factors, list) else ():
            found[str(factor)] = known.get(layer, layer)
    return found


def _run(
    step: plan.Step,
    recipe: Recipe,
    source: Source,
    teacher: Candidate,
    worked: Worked,
    datasets: Datasets,
    workspace: Workspace,
    *,
    trust_code: bool,
) -> tuple[StageResult, dict[str, Any]]:
    settings = recipe.resolved_stage(step.settings)
    training = datasets.training if step.trains else None
    if isinstance(settings, Finetune) and settings.data is not None:
        training = open_dataset(
            recipe, f"{step.title} data", settings.data, source.inputs, workspace, trust_code=trust_code
        )
    before = worked.candidate
    seen = Observed(candidate=before)
    if settings.uses_statistics:
        seen = observed(
            before,
            datasets.calibration,
            workspace,
            seed=recipe.seed,
            doubt=0.0 if settings.without_doubt else DOUBT,
        )
        worked.ledger += seen.notes

    def make(directory: Path) -> Json:
        result = settings.apply(
            workspace.backend,
            before.path if settings.keeps_normalizations else seen.candidate.path,
            directory / CANDIDATE,
            step,
            training,
            recipe.seed,
            teacher=teacher.path,
            calibration=datasets.calibration if settings.uses_statistics else None,
            statistics=seen.statistics,
        )
        return {"result": _stored(result), "totals": totals(directory / CANDIDATE, recipe)}

    parts: dict[str, Json] = {
        "source": before.sha256,
        "teacher": teacher.sha256,
        "step": step.to_json(),
        "student": _student_digest(settings),
        "training": training.sha256 if training else None,
        "seed": recipe.seed,
        "observed": seen.sha256,
        **_worker(step),
    }
    entry = workspace.produce(step.title, parts, make, tensorflow=True)
    worked.candidate = Candidate.at(entry.files[CANDIDATE])
    return _restored(entry.record["result"]), entry.record


def _worker(step: plan.Step) -> dict[str, Json]:
    """Which of several workers this is: each must train, so none may wait for what another one trains.

    Raises:
      DeviceError: TF_CONFIG is none.
    """
    if not (step.trains and step.settings.spans_workers):
        return {}
    try:
        told = json.loads(os.environ.get("TF_CONFIG") or "null")
        return {"task": told["task"], "workers": {kind: len(each) for kind, each in told["cluster"].items()}}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.DeviceError(
            'strategy = "multiworker" needs TF_CONFIG with the cluster and this worker\'s task in the environment of every '
            'worker, as tf.distribute documents it; use "mirrored" on one machine'
        ) from error


def _student_digest(settings: object) -> str | None:
    if isinstance(settings, Distill) and settings.student is not None:
        return model_sha256(Path(settings.student))
    return None


def totals(path: Path, recipe: Recipe) -> dict[str, Json]:
    """Parameters, zeros and distinct values per channel of a candidate, as its file holds them."""
    facts = gate.layer_facts(gate.read(path, custom=recipe.model.custom))
    arrays = [(kernel.array, kernel.channel_axes) for layer in facts for kernel in layer.kernels]
    weights = sum(array.size for array, _ in arrays)
    zeros = sum(int((array == 0).sum()) for array, _ in arrays)
    return {
        "parameters": sum(layer.parameters for layer in facts),
        "weights": weights,
        "sparsity": zeros / weights if weights else None,
        "distinct_per_channel": max((clustering.distinct(array, axes) for array, axes in arrays), default=0),
        "file_bytes": path.stat().st_size,
    }


def _ledger(step: plan.Step, result: StageResult) -> Iterator[LedgerEntry]:
    for layer, values in result.layers.items():
        yield LedgerEntry(stage=step.title, layer=layer, action="acted", found=dict(values))
    yield from result.notes
    if result.history:
        epochs: list[Json] = [dict(epoch) for epoch in result.history]
        yield LedgerEntry(stage=step.title, layer="", action="trained", found={"epochs": epochs})


def totals_entry(stage: str, found: dict[str, Json]) -> LedgerEntry:
    return LedgerEntry(stage=stage, layer="", action="model", found=found)


def _stored(result: StageResult) -> Json:
    return {
        "layers": {name: dict(values) for name, values in result.layers.items()},
        "notes": [asdict(note) for note in result.notes],
        "history": [dict(epoch) for epoch in result.history],
    }


def _restored(stored: dict[str, Any]) -> StageResult:
    notes: Sequence[LedgerEntry] = [LedgerEntry(**note) for note in stored["notes"]]
    return StageResult(layers=stored["layers"], notes=tuple(notes), history=tuple(stored["history"]))
