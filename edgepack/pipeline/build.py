"""`build`: from a recipe to checked packages, one per device from one shared run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgepack import device, embedded, errors, gate, plan
from edgepack.backend import Backend
from edgepack.device import Device
from edgepack.numerics.metrics import Metric
from edgepack.pipeline import emulating, evaluate, findings, output, packing
from edgepack.pipeline.attached import on_device, require_answer
from edgepack.pipeline.checking import checked
from edgepack.pipeline.continuing import Update, carried_on
from edgepack.pipeline.environment import versions
from edgepack.pipeline.evidence import FILE, write_evidence
from edgepack.pipeline.fitting import require_fitting, unfit
from edgepack.pipeline.flashing import stored
from edgepack.pipeline.joint import Planned, carried_out
from edgepack.pipeline.layers import layer_rows
from edgepack.pipeline.quantizing import Accept, Quantized, float_baseline, quantized
from edgepack.pipeline.reporter import Reporter
from edgepack.pipeline.result import BuildResult, MetricResult, PackageResult, Weighed
from edgepack.pipeline.rounding import rounded
from edgepack.pipeline.sources import Datasets, Source, import_candidate, open_data, open_source, warm_up
from edgepack.pipeline.steps import Worked, run_steps
from edgepack.pipeline.trail import trail
from edgepack.pipeline.verdict import judgement, reasons_against
from edgepack.pipeline.weighing import latencies, weigh_ahead, weighed
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe, Target, limits
from edgepack.records import Artifact, Candidate, LedgerEntry
from edgepack.stages import Factorize, StageSettings
from edgepack.stages.search import Judgement
from edgepack.store import Store


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
class _Run:
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
        packages = _packages(run, devices)
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
) -> _Run:
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
    return _Run(
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

    planned, worked = carried_out(
        target,
        recipe,
        before,
        datasets.calibration,
        workspace,
        float_permitted=all(each.float_allowed for each in devices),
        judge=lambda artifact: _compared(recipe, metric, datasets, original, artifact, workspace),
        factorized=lambda share: run([Factorize(method="kfac", keep=share)], before),
    )
    return planned, run(recipe.stages_after_target, worked)


def _packages(run: _Run, devices: Sequence[Device]) -> list[PackageResult]:
    targets: Sequence[Device | None] = devices or [None]
    results, artifacts = [], {}
    for target in targets:
        made, update = _continued(run, target, _quantized(run, target))
        weigh_ahead(made.artifact, run.workspace)
        results.append(_judged(run, target, made, _metric(run, made.artifact), update))
        artifacts[made.artifact.sha256] = made.artifact
    if run.options.pack and run.options.evidence:
        _keep_evidence(run, artifacts)
    return results


def _keep_evidence(run: _Run, artifacts: Mapping[str, Artifact]) -> None:
    data, workspace = run.datasets.evaluation, run.workspace
    write_evidence(
        run.options.out,
        run.recipe,
        data,
        evaluate.float_answers(run.original, data, workspace),
        run.baseline,
        {
            digest: (artifact, evaluate.tflite_answers(artifact, data, workspace))
            for digest, artifact in artifacts.items()
        },
    )


def _quantized(run: _Run, target: Device | None) -> Quantized:
    recipe = run.recipe
    budget = limits(recipe, target)

    def judge(artifact: Artifact) -> Judgement:
        try:
            found = _metric(run, artifact)
        except (errors.GateError, errors.ModelError, errors.ChildCrashError) as error:
            # It cannot be run, or answers nonsense: the next remedy may do better.
            return Judgement(complaint=str(error), drop=math.inf, strained=True)
        return judgement(found, budget.max_drop, int8_drop=lambda: found.drop - _compression_drop(run))

    accept = Accept(
        judge=judge,
        key={
            "data": run.datasets.evaluation.sha256,
            "metric": recipe.metric.model_dump(mode="json"),
            "max_drop": budget.max_drop,
            "original": run.original.sha256,
        },
    )
    settings, strained = recipe.quantize, True
    if run.planned is not None:  # what a plan may lose was decided with the plan
        strained = run.planned.chosen.metric.drop > budget.max_drop
        settings = run.planned.refinable if strained else run.planned.settings
    return quantized(
        "quantize",
        run.worked.candidate,
        settings,
        run.datasets.calibration,
        run.workspace,
        seed=recipe.seed,
        float_permitted=target is None or target.float_allowed,
        accept=accept if strained else None,
        promised={claim.layer for claim in run.worked.claims},
    )


def _continued(run: _Run, target: Device | None, made: Quantized) -> tuple[Quantized, Update | None]:
    """In the numbers of the previous package, where the recipe names one."""
    settings = run.recipe.continuity
    if settings is None:
        return made, None

    def broken(offered: Quantized) -> int:
        return sum(not item.holds for item in checked(run.recipe, offered, run.worked, target, run.workspace))

    already = broken(made)
    return carried_on(
        run.recipe,
        settings,
        made,
        run.datasets.calibration,
        run.workspace,
        judge=lambda artifact: _metric(run, artifact),
        keeps_promises=lambda offered: broken(offered) <= already,
        max_drop=limits(run.recipe, target).max_drop,
    )


def _compression_drop(run: _Run) -> float:
    """What the compressed Keras model loses before it is quantized."""
    if run.worked.candidate.sha256 == run.original.sha256:
        return 0.0
    data = run.datasets.evaluation
    original = evaluate.float_answers(run.original, data, run.workspace)
    compressed = evaluate.float_answers(run.worked.candidate, data, run.workspace)
    return evaluate.compared(run.recipe, run.metric, data, original, compressed, run.workspace).drop


def _metric(run: _Run, artifact: Artifact) -> MetricResult:
    return _compared(run.recipe, run.metric, run.datasets, run.original, artifact, run.workspace)


def _compared(
    recipe: Recipe,
    metric: Metric,
    datasets: Datasets,
    original: Candidate,
    artifact: Artifact,
    workspace: Workspace,
) -> MetricResult:
    evaluate.float_answers_ahead(original, datasets.evaluation, workspace)
    answers = evaluate.tflite_answers(artifact, datasets.evaluation, workspace)
    float_answers = evaluate.float_answers(original, datasets.evaluation, workspace)
    return evaluate.compared(recipe, metric, datasets.evaluation, float_answers, answers, workspace)


def _judged(
    run: _Run, target: Device | None, made: Quantized, metric: MetricResult, update: Update | None
) -> PackageResult:
    recipe, workspace = run.recipe, run.workspace
    invariants = checked(recipe, made, run.worked, target, workspace)
    kept = stored(made.artifact, recipe, target, workspace)
    after, before = kept.weighed(weighed(made.artifact, workspace)), weighed(run.baseline, workspace)
    bench = latencies(made.artifact, run.baseline, target, workspace) if run.options.bench else None
    if bench is not None:
        after = replace(after, latency_ms=bench.artifact)
        before = replace(before, latency_ms=bench.baseline)
    budget = limits(recipe, target)
    reasons = reasons_against(
        budget,
        metric=metric,
        weighed=after,
        baseline=before,
        invariants=invariants,
        latency_is_of_device=target is None or target.transport == "local",
        delta_bytes=update.delta_bytes if update is not None else None,
    )
    reasons += [*kept.complaints, *unfit(target, made.artifact)]
    there = None
    if run.options.bench and target is not None and target.transport != "local":
        there = on_device(made.artifact, target, recipe, workspace)
        reasons += there.complaints(budget, target)
    if reasons and made.worst:
        reasons.append(f"accuracy: int8 loses most in {'; '.join(made.worst)}")
    emulated = emulating.emulated(made.artifact, target) if run.options.emulate and target else None
    if emulated is not None:
        reasons += emulating.complaints(emulated)
    result = PackageResult(
        device=target.name if target else None,
        reasons=reasons,
        package=None,
        tflite=None,
        metric=metric,
        weighed=after,
        baseline=before,
        invariants=invariants,
        ledger=(*run.worked.ledger, *made.notes, quantize_totals(made, after), *kept.notes),
        flash=kept.told,
        benchmark={**bench.circumstances, "device": there.to_json() if there else None} if bench else None,
        emulated=emulated.to_json() if emulated else None,
        digests={"model": run.source.sha256, "tflite": made.artifact.sha256},
        continuity=update.to_json() if update is not None else None,
        budget=budget.model_dump(mode="json", exclude_none=True),
    )
    if not run.options.pack:
        return replace(result, tflite=made.artifact.path)
    result = replace(
        result,
        layers=layer_rows(recipe, run.original, run.worked, run.baseline, made, workspace),
        stages=trail(recipe, run.metric, run.datasets.evaluation, run.worked, workspace),
    )
    if reasons and not run.options.keep_failed:
        return result
    return packing.packed(result, recipe, made, run.datasets, target, run.options.out, workspace, kept)


def quantize_totals(made: Quantized, after: Weighed) -> LedgerEntry:
    """The ledger's last line: what the .tflite holds."""
    found = {**asdict(after.sizes), "parameters": after.parameters, "remedy": made.remedy}
    return LedgerEntry(stage="quantize", layer="", action="model", found=found)
