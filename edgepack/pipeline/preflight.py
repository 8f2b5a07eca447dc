"""`check`: everything that can be known of a build before TensorFlow is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgepack import data, errors, plan
from edgepack.pipeline.model_outline import ModelOutline, Reading
from edgepack.pipeline.pins import pinned_sha256
from edgepack.recipe import NO_EVALUATION, Recipe, limits
from edgepack.recipe.budget import UNLIMITED
from edgepack.recipe.continuity import NO_PREVIOUS, Continuity
from edgepack.records import Json, TensorSpec


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """A recipe that holds together, with its plan.

    Attributes:
      inputs: of the model; () for a SavedModel, which is not opened.
      samples: source → number of samples, None where only running code could tell.
      findings: notes about data and model.
      budgets: device name ("" for none) → limits that will be judged.
    """

    recipe: Recipe
    plan: plan.Plan | None
    inputs: tuple[TensorSpec, ...]
    samples: dict[str, int | None]
    findings: tuple[str, ...]
    budgets: dict[str, dict[str, Json]]

    def to_json(self) -> dict[str, Json]:
        return {
            "schema": "edgepack.check/1",
            "status": "passed",
            "recipe": str(self.recipe.path),
            "inputs": [[spec.name, list(spec.shape), spec.dtype] for spec in self.inputs],
            "samples": dict(self.samples),
            "findings": list(self.findings),
            "budgets": dict(self.budgets),
            "plan": plan.as_json(self.plan) if self.plan else None,
        }


def preflight(recipe: Recipe, devices: Sequence[str] = ()) -> Preflight:
    """Reads model and data by their headers and resolves the plan.

    Raises:
      EdgepackError: what `build` would refuse, as far as it can be known without running anything.
    """
    source = recipe.model
    with Reading(recipe.model_path, custom=source.custom, outputs=source.outputs) as reading:
        shown = _budgets(recipe, devices)
        pinned_sha256(recipe)
        return _judged(recipe, reading.outline(), shown)


def _judged(recipe: Recipe, model: ModelOutline | None, budgets: dict[str, dict[str, Json]]) -> Preflight:
    if model is None:
        note = f"{recipe.model_path.name}: a SavedModel is only opened by a build, with --trust-input"
        return Preflight(recipe=recipe, plan=None, inputs=(), samples={}, findings=(note,), budgets=budgets)
    if recipe.data.evaluation is None:
        raise errors.RecipeError(f"{recipe.path}: {NO_EVALUATION}")
    if recipe.continuity is not None:
        _previous(recipe, recipe.continuity)
    samples, findings = _examined(recipe, model.inputs)
    resolved = plan.resolve(
        recipe.stages,
        model.layers,
        order=recipe.order,
        has_training=recipe.data.training is not None,
        exact=False,
    )
    dropped = [f"layer {layer!r} is left out: {reason}" for layer, reason in model.dropped]
    return Preflight(
        recipe=recipe,
        plan=resolved,
        inputs=model.inputs,
        samples=samples,
        findings=(*findings, *dropped),
        budgets=budgets,
    )


def _previous(recipe: Recipe, settings: Continuity) -> None:
    """Refuses a previous package that is missing or damaged, before anything is built for it."""
    from edgepack.bundle import read  # only a recipe with continuity pays for it

    path = recipe.resolve(settings.previous)
    if not path.exists():
        raise errors.PackageError(NO_PREVIOUS.format(path=path))
    read(path)


def _budgets(recipe: Recipe, devices: Sequence[str]) -> dict[str, dict[str, Json]]:
    budgets = {"": limits(recipe, None)}
    if devices:
        from edgepack import device  # building the profiles' classes takes longer than reading one

        profiles = [device.load(name, beside=recipe.directory) for name in devices]
        if recipe.package.flash == "lut" or any(each.accelerator or each.decoders for each in profiles):
            from edgepack import embedded  # only microcontrollers and NPUs pay for it

            embedded.require_tools(profiles, recipe.package.flash)
        from edgepack.pipeline.fitting_types import types_refused

        for profile in profiles:
            for text in types_refused(recipe, profile):
                raise errors.DeviceError(f"{recipe.path}: {profile.name}: {text}")
        budgets = {profile.name: limits(recipe, profile) for profile in profiles}
    return {
        name: {
            key: limit
            for key, limit in budget.model_dump(mode="json", exclude_none=True).items()
            if limit != UNLIMITED
        }
        for name, budget in budgets.items()
    }


def _examined(recipe: Recipe, specs: tuple[TensorSpec, ...]) -> tuple[dict[str, int | None], list[str]]:
    samples: dict[str, int | None] = {}
    findings = []
    for name in ("calibration", "evaluation", "training"):
        table = getattr(recipe.data, name)
        if table is None:
            continue
        source = table.resolved(recipe.directory)
        found = data.examine(source, recipe.preprocess, specs)
        if name == "evaluation" and recipe.metric.name != "agreement":
            data.check_labels(found, source, needed_by=f"[metric] {recipe.metric.name!r}")
        samples[name] = found.count
        findings += [f"{name}: {finding.text}" for finding in found.findings]
    return samples, findings
