"""From one compressed model to a judged package for every device."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from edgepack import errors
from edgepack.device import Device
from edgepack.pipeline import emulating, evaluate, packing
from edgepack.pipeline.attached import on_device
from edgepack.pipeline.checking import checked
from edgepack.pipeline.continuing import Update, carried_on
from edgepack.pipeline.evidence import write_evidence
from edgepack.pipeline.fitting import unfit
from edgepack.pipeline.flashing import stored
from edgepack.pipeline.layers import layer_rows
from edgepack.pipeline.quantizing import Accept, Quantized, quantized
from edgepack.pipeline.result import MetricResult, PackageResult, Weighed
from edgepack.pipeline.run import Run
from edgepack.pipeline.trail import trail
from edgepack.pipeline.verdict import judgement, reasons_against
from edgepack.pipeline.weighing import latencies, weigh_ahead, weighed
from edgepack.recipe import limits
from edgepack.records import Artifact, LedgerEntry
from edgepack.stages.search import Judgement


def packages_of(run: Run, devices: Sequence[Device]) -> list[PackageResult]:
    """One package per device, or one for none in particular; the same work is done once for all of them."""
    targets: Sequence[Device | None] = devices or [None]
    results, artifacts = [], {}
    for target in targets:
        made, update = _continued(run, target, _quantized(run, target))
        weigh_ahead(made.artifact, run.workspace)
        results.append(_judged(run, target, made, run.measured(made.artifact), update))
        artifacts[made.artifact.sha256] = made.artifact
    if run.options.pack and run.options.evidence:
        _keep_evidence(run, artifacts)
    return results


def _keep_evidence(run: Run, artifacts: Mapping[str, Artifact]) -> None:
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


def _quantized(run: Run, target: Device | None) -> Quantized:
    recipe = run.recipe
    budget = limits(recipe, target)

    def judge(artifact: Artifact) -> Judgement:
        try:
            found = run.measured(artifact)
        except (errors.GateError, errors.ModelError, errors.ChildCrashError) as error:
            # It cannot be run, or answers nonsense: the next remedy may do better.
            return Judgement(complaint=str(error), drop=math.inf, strained=True)
        return judgement(found, budget.max_drop, int8_drop=lambda: found.drop - run.compression_drop())

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


def _continued(run: Run, target: Device | None, made: Quantized) -> tuple[Quantized, Update | None]:
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
        judge=run.measured,
        keeps_promises=lambda offered: broken(offered) <= already,
        max_drop=limits(run.recipe, target).max_drop,
    )


def _judged(
    run: Run, target: Device | None, made: Quantized, metric: MetricResult, update: Update | None
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
