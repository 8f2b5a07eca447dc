"""A point of the search predicted in closed form: what all its stages together cost, kernel by kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgepack import errors, gate
from edgepack.facts import LayerFacts
from edgepack.numerics import layer_statistics
from edgepack.numerics.layer_statistics import LayerStatistics
from edgepack.pipeline.observing import Observed, observed
from edgepack.pipeline.reporter import Reporter
from edgepack.pipeline.sources import import_candidate, open_data, open_source
from edgepack.pipeline.workspace import Workspace
from edgepack.recipe import Recipe
from edgepack.recipe.opened import OpenRecipe
from edgepack.stages import Cluster, Distill, Factorize, Prune, Shrink, StageSettings, Target
from edgepack.store import Store
from edgepack.tune.job import Surroundings
from edgepack.tune.kept_backend import kept_backend
from edgepack.tune.kernel_proxy import Cost, KernelProxy, Treatment

NOTHING: Final = Cost(loss=0.0, delivered_bytes=0.0, weights=0.0)
FINE: Final = 0.01
"""Shares that differ by less are predicted alike."""


@dataclass(eq=False)
class Predictor:
    """Predicts trials of one open recipe.

    Args:
      facts: of the folded model; () where it cannot be seen into, and then every point is predicted alike.
      proxies: its kernels by (layer, role).
    """

    recipe: OpenRecipe
    facts: Sequence[LayerFacts]
    proxies: Mapping[tuple[str, str], KernelProxy]
    _thresholds: dict[tuple[Any, ...], float] = field(default_factory=dict)

    def predict(self, values: Mapping[str, Any]) -> Cost | None:
        """What the point costs; None where its values do not go together."""
        try:
            recipe = self.recipe.closed(values)
        except errors.RecipeError:
            return None
        treatments = self._treatments(recipe)
        costs = [self.proxies[where].cost(each) for where, each in sorted(treatments.items())]
        return Cost(
            loss=sum(each.loss for each in costs),
            delivered_bytes=sum(each.delivered_bytes for each in costs),
            weights=sum(each.weights for each in costs),
        )

    def _treatments(self, recipe: Recipe) -> dict[tuple[str, str], Treatment]:
        """What becomes of every kernel. Low rank comes first: zeros and clusters are made on the factors."""
        quantize = recipe.quantize
        first = Treatment(bits=quantize.weight_bits or 8, one_scale=quantize.weights == "tensor")
        found = dict.fromkeys(self.proxies, first)
        for stage in sorted(recipe.stages, key=lambda each: isinstance(each, Prune | Cluster)):
            if isinstance(stage, Distill) or (isinstance(stage, Shrink) and stage.mode != "exact"):
                width = _width(stage)
                found = {where: replace(each, width=each.width * width) for where, each in found.items()}
            elif isinstance(stage, Prune | Cluster | Factorize):
                self._staged(stage, found)
        return found

    def _staged(self, stage: Prune | Cluster | Factorize, found: dict[tuple[str, str], Treatment]) -> None:
        below = self._below(stage) if isinstance(stage, Prune) else None
        weights = sum(each.kernel.size for each in self.proxies.values())
        for facts in self.facts:
            decided = stage.plan_layer(Target(facts=facts, model_weights=weights, work_limit=0.0))
            if decided.parameters is None:
                continue
            roles: Any = decided.parameters.get("kernels", [])
            for role in roles:
                if (where := (facts.name, role)) in found:
                    found[where] = _with(found[where], stage, decided.parameters, below)

    def _below(self, stage: Prune) -> float | None:
        """The threshold of one ranking for the whole model."""
        if stage.scope != "global" or stage.sparsity is None:
            return None
        repaired = stage.method == "obs"
        key = (round(stage.sparsity / FINE), repaired)
        if key not in self._thresholds:
            each = [proxy.saliency(repaired=repaired).ravel() for proxy in self.proxies.values()]
            mass = np.concatenate(
                [np.full(len(a), 1.0 / p.share) for a, p in zip(each, self.proxies.values(), strict=True)]
            )
            every = np.concatenate(each)
            order = np.argsort(every, kind="stable")
            passed = np.cumsum(mass[order]) / mass.sum()
            place = min(int(np.searchsorted(passed, key[0] * FINE)), len(order) - 1)
            self._thresholds[key] = float(every[order[place]])
        return self._thresholds[key]


def _with(
    before: Treatment, stage: StageSettings, parameters: Mapping[str, Any], below: float | None
) -> Treatment:
    if isinstance(stage, Prune):
        repaired = stage.method == "obs"
        if below is not None:
            return replace(before, below=below, repaired=repaired)
        return replace(before, zeros=_rounded(parameters.get("sparsity") or 0.5), repaired=repaired)
    if isinstance(stage, Cluster):
        return replace(
            before,
            values=int(parameters["clusters"]),
            by_channel=stage.per == "channel",
            repaired=stage.method == "obs",
        )
    assert isinstance(stage, Factorize)
    goal, value = stage.goal
    if goal in ("keep", "ratio", "energy"):
        assert isinstance(value, float | int)
        return replace(before, keep=_rounded(min(float(value), stage.keep_macs or 1.0)))
    return replace(
        before,
        keep=_rounded(1.0 - float(value)) if goal == "max_error" and not isinstance(value, tuple) else 0.5,
    )


def _rounded(share: float) -> float:
    return round(share / FINE) * FINE


def _width(stage: Distill | Shrink) -> float:
    """Share of the channels that stays."""
    if isinstance(stage, Distill):
        return stage.width or 1.0
    return _rounded(stage.keep**0.5) if stage.keep is not None else 1.0


def predictor(recipe: OpenRecipe, around: Surroundings, reporter: Reporter) -> Predictor:
    """Reads the model and measures its layers once; what is found stays in the store.

    Raises:
      EdgepackError: model or data are wrong: no trial could work.
    """
    some = recipe.some()
    with (
        Store(Path(around.cache), around.store_read) as store,
        Workspace(
            store,
            reporter,
            trust_code=around.trust_code,
            custom=some.model.custom,
            import_paths=(some.directory,),
            memory_bytes=around.memory_bytes,
            threads=some.threads,
            backend=kept_backend(some, around),
        ) as workspace,
    ):
        source = open_source(some, workspace, trust_input=around.trust_input)
        datasets = open_data(some, source, workspace, trust_code=around.trust_code)
        if not source.layered:
            return Predictor(recipe=recipe, facts=(), proxies={})
        candidate = import_candidate(some, source, workspace, trust_input=around.trust_input)
        try:
            seen = observed(candidate, datasets.calibration, workspace, seed=some.seed)
        except (errors.ChildCrashError, errors.ModelError) as error:
            reporter.note("warning", f"no layer statistics, so loss is not predicted: {error}")
            seen = Observed(candidate=candidate)
        facts = gate.layer_facts(gate.read(seen.candidate.path, custom=some.model.custom))
        moments = {} if seen.statistics is None else layer_statistics.read(seen.statistics)
    proxies = {
        (layer.name, kernel.role): _proxy(kernel.array, moments.get((layer.name, kernel.role)))
        for layer in facts
        for kernel in layer.kernels
        if kernel.array.ndim >= 2 and kernel.array.size
    }
    return Predictor(recipe=recipe, facts=facts, proxies=proxies)


def _proxy(kernel: Any, seen: LayerStatistics | None) -> KernelProxy:
    """With its statistics where they are sound; a prediction may be rough, but it must not end a search."""
    if seen is None or not (np.isfinite(seen.covariance).all() and np.isfinite(seen.gradient).all()):
        return KernelProxy(kernel, None)
    try:
        return KernelProxy(kernel, seen)
    except (ValueError, np.linalg.LinAlgError, errors.EdgepackError):
        return KernelProxy(kernel, None)
