"""Which layers of a model are factorized in which form at which rank, where all of them are looked at together.

Works on records and arrays; needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from edgepack.backend import factors
from edgepack.facts import Kernel
from edgepack.gate.facts import kernels
from edgepack.gate.graph import Graph, Layer
from edgepack.numerics import factorize, kfac, kfac_spatial, layer_statistics, rank
from edgepack.numerics.allocation import Choice, allocate, fits
from edgepack.numerics.forms import Form
from edgepack.numerics.layer_statistics import LayerStatistics

Array: TypeAlias = npt.NDArray[Any]
RANKS: Final = 96
"""Ranks of one form that the allocation looks at; more are thinned out evenly."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The stage's goal, as `stages.factorize` sends it.

    Attributes:
      keep_macs: share of multiply-adds that is kept, beside the goal "keep".
    """

    method: str
    goal: str
    value: float
    keep_macs: float | None
    form: str
    min_saving: float

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Settings:
        return cls(**document)


@dataclass(frozen=True, kw_only=True)
class Pick:
    """A layer's form and rank.

    Attributes:
      role: of the kernel that is split.
      error: expected loss a sample for "kfac", relative squared error for "svd".
    """

    role: str
    form: Form
    rank: int
    error: float


@dataclass(frozen=True, kw_only=True, eq=False)
class _Family:
    """One form of one layer at all its ranks.

    Attributes:
      positions: at which the layer works, a sample; 1 where that is not known.
    """

    layer: str
    kernel: Kernel
    form: Form
    strides: tuple[int, ...]
    positions: float
    singular: Array
    errors: Array

    def saving(self, kept: int) -> float:
        """Share of weights or of multiply-adds saved, whichever is less; negative where it costs more."""
        saved = self._saves(kept)
        return 1.0 - max(
            saved.weights_after / saved.weights_before, saved.multiply_adds_after / saved.multiply_adds_before
        )

    def costs(self, kept: int) -> dict[str, float]:
        """By what a budget may limit."""
        saved = self._saves(kept)
        return {
            "weights": float(saved.weights_after),
            "macs": saved.multiply_adds_after * self.positions,
        }

    @property
    def whole(self) -> dict[str, float]:
        """The costs of the layer as it is."""
        return {"weights": float(self.kernel.size), "macs": self.kernel.size * self.positions}

    def _saves(self, kept: int) -> rank.Savings:
        return rank.saves(self.form, self.kernel.shape, kept, self.strides)

    def rank_for(self, settings: Settings) -> int:
        """The rank that a goal for single layers asks for."""
        if settings.goal == "energy":
            return rank.rank_for_energy(self.singular, settings.value)
        if settings.goal == "max_error":
            return rank.rank_for_error(self.singular, settings.value)
        if settings.goal == "ratio":
            return rank.rank_for_ratio(self.form, self.kernel.shape, settings.value)
        return min(int(settings.value), len(self.singular))

    def ranks(self, min_saving: float) -> list[int]:
        """The ranks that save enough, thinned out."""
        paying = [r for r in range(1, len(self.singular)) if self.saving(r) >= max(min_saving, 1e-9)]
        return paying[:: -(-len(paying) // RANKS)] if paying else []

    def pick(self, kept: int) -> Pick:
        return Pick(role=self.kernel.role, form=self.form, rank=kept, error=float(self.errors[kept]))


def picked(
    graph: Graph, wanted: Mapping[str, Mapping[str, Any]], settings: Settings, statistics: str | None
) -> tuple[dict[str, Pick], dict[str, str]]:
    """Layer → form and rank, and layer → why it stays whole.

    Args:
      wanted: the layers that may be factorized.
      statistics: file of `numerics.layer_statistics` for method "kfac"; layers that it lacks stay whole.
    """
    known = layer_statistics.read(Path(statistics)) if statistics is not None else {}
    families: dict[str, list[_Family]] = {}
    whole: dict[str, str] = {}
    for name in wanted:
        found = _families(graph.layers[name], settings, known)
        if isinstance(found, str):
            whole[name] = found
        else:
            families[name] = found
    if settings.goal == "keep":
        chosen = _together(families, settings)
    else:
        chosen = {name: _alone(each, settings) for name, each in families.items()}
    picks = {name: pick for name, pick in chosen.items() if isinstance(pick, Pick)}
    return picks, whole | {name: pick for name, pick in chosen.items() if isinstance(pick, str)}


def _families(
    layer: Layer, settings: Settings, known: Mapping[tuple[str, str], LayerStatistics]
) -> list[_Family] | str:
    if (reason := factors.why_not(layer)) is not None:
        return reason
    role = "pointwise" if layer.kind.startswith("Separable") else "kernel"
    kernel = next(each for each in kernels(layer) if each.role == role)
    seen = known.get((layer.name, role))
    if settings.method == "kfac" and seen is None:
        return "it has no layer statistics"
    found = []
    for form in _forms(layer, kernel.shape, settings):
        if settings.method == "kfac":
            assert seen is not None
            family = kfac.low_rank(form, kernel.array, seen)
            singular = family.singular
            errors = kfac_spatial.refined_errors(family, np.asarray(kernel.array, np.float64), seen)
        else:
            singular = factorize.singular_values(form, kernel.array)
            energy = np.square(singular) / max(float(np.square(singular).sum()), 1e-300)
            errors = np.append(np.cumsum(energy[::-1])[::-1], 0.0)
        strides = _strides(layer)
        found.append(
            _Family(
                layer=layer.name,
                kernel=kernel,
                form=form,
                strides=strides,
                positions=1.0 if seen is None else seen.positions,
                singular=singular,
                errors=errors,
            )
        )
    return found


def _forms(layer: Layer, shape: tuple[int, ...], settings: Settings) -> tuple[Form, ...]:
    if layer.kind == "Dense":
        return ("dense",)
    if layer.kind == "Conv1D":
        return ("conv1d",)
    if layer.kind.startswith("Separable") or shape[:2] == (1, 1):
        return ("pointwise",)
    if 1 in shape[:2] or settings.form == "channel":
        return ("channel",)
    spatial: tuple[Form, ...] = ("spatial", "across") if settings.method == "kfac" else ("spatial",)
    return spatial if settings.form == "spatial" else (*spatial, "channel")


def _strides(layer: Layer) -> tuple[int, ...]:
    if layer.kind not in ("Conv1D", "Conv2D"):
        return ()
    strides = layer.config.get("strides", 1)
    return (strides,) * (len(layer.weights[0].shape) - 2) if isinstance(strides, int) else tuple(strides)


def _alone(families: list[_Family], settings: Settings) -> Pick | str:
    """What a goal for single layers makes of one."""
    tried = [(family, family.rank_for(settings)) for family in families]
    paying = [each for each in tried if each[0].saving(each[1]) >= max(settings.min_saving, 1e-9)]
    if not paying:
        family, kept = max(tried, key=lambda each: each[0].saving(each[1]))
        return (
            f"{settings.goal} = {settings.value:g} needs rank {kept} of {len(family.singular)} in {family.form} form: "
            f"saves {family.saving(kept):.0%}, less than min_saving = {settings.min_saving:g}"
        )
    if settings.goal in ("energy", "max_error"):
        family, kept = min(paying, key=lambda each: each[0].costs(each[1])["weights"])
    else:
        family, kept = min(paying, key=lambda each: float(each[0].errors[each[1]]))
    return family.pick(kept)


def _together(families: Mapping[str, list[_Family]], settings: Settings) -> dict[str, Pick | str]:
    """One budget of weights, of multiply-adds or of both for all layers, spent where it saves most loss."""
    options: dict[str, list[Pick | None]] = {}
    choices: dict[str, list[Choice]] = {}
    for name, forms in families.items():
        options[name], choices[name] = [None], [Choice(error=0.0, costs=forms[0].whole)]
        for family in forms:
            for kept in family.ranks(settings.min_saving):
                options[name].append(family.pick(kept))
                choices[name].append(Choice(error=float(family.errors[kept]), costs=family.costs(kept)))
    shares = {"weights": settings.value, "macs": settings.keep_macs}
    budget = {
        name: share * sum(forms[0].whole[name] for forms in families.values())
        for name, share in shares.items()
        if share is not None and share < 1.0
    }
    taken = allocate(choices, budget)
    short = "" if fits(choices, taken, budget) else "; the budget cannot be met by factorizing alone"
    wanted = " and ".join(
        f"{goal} = {share:g}"
        for goal, share in (("keep", settings.value), ("keep_macs", settings.keep_macs))
        if share is not None and share < 1.0
    )
    reason = f"costs less as it is, within {wanted} of the whole{short}"
    return {name: options[name][position] or reason for name, position in taken.items()}
