"""`build`: from a recipe to checked packages, one per device from one shared run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from edgepack import device, embedded, errors, gate, plan
from edgepack.backend import Backend
from edgepack.device import Device
from edgepack.numerics.metrics import Metric
from edgepack.pipeline import emulating, evaluate, findings, output
from edgepack.pipeline.attached import require_answer
from edgepack.pipeline.environment import versions
from edgepack.pipeline.evidence import FILE
from edgepack.pipeline.fitting import require_fitting
from edgepack.pipeline.joint import Planned, Shares, carried_out
from edgepack.pipeline.per_device import packages_of
from edgepack.pipeline.quantizing import float_baseline
from edgepack.pipeline.reporter import Reporter
from edgepack.pipeline.result import BuildResult, MetricResult
from edgepack.pipeline.rounding import rounded
from edgepack.pipeline.run import Options, Run, compared
from edgepack.pipeline.sources import Datasets, Source, import_candidate, open_data, open_source, warm_up
from edgepack.pipeline.steps import Worked, run_steps
from edgepack.pipeline.weighing import weigh_ahead
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe, Target
from edgepack.records import Artifact, Candidate
from edgepack.stages import Cluster, Factorize, StageSettings
from edgepack.stages.training import Training
from edgepack.store import Store

__all__ = ["Options", "build"]

NONE: Final = Training(epochs=0)
"""What is tried for a plan is not trained: only the chosen plan is."""


def build(
    recipe: Recipe, options: Options, reporter: Reporter, *, backend: Backend | None = None
) -> BuildResult:
    """Runs the whole pipeline; writes packages and build.json to `options.out`.

    Args:
      backend: a TensorFlow child to use, started with the same trust and memory; it goes on living. None for an own one.

    Raises:
      EdgepackError: bad input, crashed children, disk. A missed budget is no error: see `BuildResult.passed`.
    """
    devices = [device.load(name, beside=recipe.directory) for name in options.devices]
    _require_int4(recipe, devices)
    if options.bench:
        require_answer(devices)
    embedded.require_tools(devices, recipe.package.flash)
    if options.emulate:
        emulating.require(devices)
    output.prepare(options.out)
    with (
        Store(options.cache) as store,
        Workspace(
            store,
            reporter,
            trust_code=options.trust_code,
            custom=recipe.model.custom,
            import_paths=(recipe.directory,),
            memory_bytes=options.memory_bytes,
            joins_workers=any(stage.spans_workers for stage in recipe.stages),
            threads=recipe.threads,
            backend=backend,
        ) as workspace,
    ):
        source = open_source(recipe, workspace, trust_input=options.trust_input)
        warm_up(recipe, source, workspace)
        resolved = plan.resolve(
            recipe.stages_before_target,
            source.facts,
            order=recipe.order,
            has_training=recipe.data.training is not None,
        )
        datasets = open_data(recipe, source, workspace, trust_code=options.trust_code)
        metric = evaluate.chosen_metric(recipe, datasets.evaluation, trust_code=options.trust_code)
        told = findings.of_data(recipe, datasets, workspace)
        run = _compressed(recipe, options, workspace, source, resolved, datasets, metric, devices)
        packages = packages_of(run, devices)
    result = BuildResult(
        name=recipe.name,
        version=recipe.version,
        packages=packages,
        findings=told,
        seconds=workspace.seconds,
        versions=versions(),
        pareto=run.planned.front_json() if run.planned else (),
        evidence=FILE if options.pack and options.evidence else None,
    )
    output.write_result(options.out, result.to_json())
    return result


def _require_int4(recipe: Recipe, devices: Sequence[Device]) -> None:
    """Four-bit kernels only for devices whose runtime is known to have them."""
    for target in devices:
        if recipe.quantize.pack_int4 and "int4" not in target.dtypes:
            raise errors.RecipeError(
                f"{recipe.path}: [quantize] pack_int4 = true: device {target.name!r} is not known to run int4 (its "
                f"dtypes are {', '.join(target.dtypes)}); remove it, or build for that device with another recipe"
            )


def _compressed(
    recipe: Recipe,
    options: Options,
    workspace: Workspace,
    source: Source,
    resolved: plan.Plan,
    datasets: Datasets,
    metric: Metric,
    devices: Sequence[Device],
) -> Run:
    original = import_candidate(recipe, source, workspace, trust_input=options.trust_input)
    baseline = float_baseline(original, datasets.calibration, workspace)
    weigh_ahead(baseline, workspace)
    require_fitting(recipe, devices, baseline, workspace)
    worked = run_steps(resolved, recipe, source, original, datasets, workspace, trust_code=options.trust_code)
    planned = None
    if recipe.target is not None:
        planned, worked = _to_target(
            recipe.target, recipe, options, workspace, source, original, datasets, metric, devices, worked
        )
    worked = rounded(worked, recipe, datasets, workspace)
    return Run(
        recipe=recipe,
        options=options,
        workspace=workspace,
        source=source,
        original=original,
        datasets=datasets,
        metric=metric,
        worked=worked,
        baseline=baseline,
        planned=planned,
    )


def _factorize(shares: Shares) -> Factorize:
    """The stage that keeps such shares, at the ranks at which the model loses least."""
    keep, macs = (shares[kind] if shares[kind] < 1.0 else None for kind in ("weights", "macs"))
    return Factorize(method="kfac", keep=keep, keep_macs=macs)


def _to_target(
    target: Target,
    recipe: Recipe,
    options: Options,
    workspace: Workspace,
    source: Source,
    original: Candidate,
    datasets: Datasets,
    metric: Metric,
    devices: Sequence[Device],
    before: Worked,
) -> tuple[Planned, Worked]:
    """The plan of `[target]` for what the stages left, and the fine-tuning behind it."""

    def run(stages: Sequence[StageSettings], after: Worked) -> Worked:
        facts = gate.layer_facts(gate.read(after.candidate.path, custom=recipe.model.custom))
        resolved = plan.resolve(stages, facts, has_training=recipe.data.training is not None)
        after = replace(after, ledger=[*after.ledger])
        trust = options.trust_code
        return run_steps(
            resolved, recipe, source, original, datasets, workspace, trust_code=trust, after=after
        )

    def judge(artifact: Artifact) -> Callable[[], MetricResult]:
        evaluate.tflite_answers_ahead(artifact, datasets.evaluation, workspace)
        return partial(compared, recipe, metric, datasets, original, artifact, workspace)

    planned, worked = carried_out(
        target,
        recipe,
        before,
        datasets.calibration,
        workspace,
        float_permitted=all(each.float_allowed for each in devices),
        judge=judge,
        factorized=lambda shares: run([_factorize(shares)], before),
        clustered=lambda values, per: run(
            [Cluster(method="obs", clusters=values, per=per, train=NONE)], before
        ),
    )
    return planned, run(recipe.stages_after_target, worked)
