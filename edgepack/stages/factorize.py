"""`use = "factorize"`: one kernel becomes two or three smaller ones of low rank.

Forms: `edgepack.numerics.factorize` (Dense, 1×1, Conv1D; channel and spatial form of Conv2D) and
`edgepack.numerics.tucker`. The factors are stock Keras layers named `<layer>_reduce`, `<layer>_core`,
`<layer>_expand`. With method "kfac", or a goal for the whole model, the backend chooses the ranks
(`edgepack.backend.kfac`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import Field, model_validator

from edgepack.records import Claim, Json
from edgepack.stages import splits
from edgepack.stages.settings import Decision, StageSettings, Step, Target, as_json, refusal

if TYPE_CHECKING:
    from edgepack.facts import Kernel

PositiveRank = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]


GOALS: Final = ("keep", "energy", "ratio", "rank", "max_error")


class Factorize(StageSettings):
    """Low-rank factorization; exactly one goal of `keep` (or `keep_macs`, or both), `energy`, `ratio`, `rank`, `max_error`.

    A layer whose factors would not save weights *and* multiply-adds at the rank that the goal needs is left
    alone.
    """

    without_doubt: ClassVar[bool] = True

    use: Literal["factorize"] = "factorize"
    method: Literal["auto", "kfac", "svd"] = "auto"
    """"svd": nearest to the weights. "kfac": costing the loss least, by statistics of the calibration data; the factors
    are refitted to what the compressed layers before them give. "auto": "kfac" where the stage does not train and there
    is `[data.calibration]`, else "svd"."""
    keep: Share | None = None
    """Share of the weights that is kept, over all layers that may be factorized together; each gets the rank at which
    the whole model loses least, or stays as it is."""
    keep_macs: Share | None = None
    """Share of multiply-adds that is kept, likewise; instead of `keep` or beside it. Ranks are then chosen by `kfac`, whose
    statistics know at how many positions a layer works."""
    energy: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Share of the sum of squared singular values that is kept in each layer (loss-weighted ones for "kfac")."""
    ratio: Share | None = None
    """The factors hold at most this share of the layer's weights."""
    rank: PositiveRank | Annotated[tuple[PositiveRank, PositiveRank], Field(strict=False)] | None = None
    """The rank itself; [inputs, outputs] for form = "tucker"."""
    max_error: Share | None = None
    """Bound on ‖W − W_r‖ / ‖W‖ of each layer (Frobenius norm; for "kfac" the loss-weighted one)."""
    form: Literal["auto", "spatial", "channel", "tucker"] = "auto"
    """For Conv2D larger than 1×1: k×1 then 1×k, k×k then 1×1, or three kernels; "auto" takes the better of the first
    two, and with "kfac" 1×k then k×1 counts as "spatial", too. Other layers have one form."""
    min_weights: Annotated[int, Field(ge=0)] = 1000
    """Kernels with fewer weights are left alone."""
    min_saving: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.05
    """Share of weights and of multiply-adds that must be saved at least: every factor is an operator more."""

    @model_validator(mode="after")
    def _one_goal(self) -> Factorize:
        goals = [name for name in GOALS if getattr(self, name) is not None]
        if self.keep_macs is not None:
            if self.method == "svd":
                raise ValueError(
                    'keep_macs needs method = "kfac" (or "auto"): "svd" has no statistics of positions'
                )
            if "keep" not in goals:
                goals.append("keep_macs")
        if len(goals) != 1:
            raise ValueError(
                f"give exactly one of {', '.join(GOALS)}" + (f"; got {', '.join(goals)}" if goals else "")
            )
        if isinstance(self.rank, tuple) and self.form != "tucker":
            raise ValueError(f'rank = {list(self.rank)}: two ranks are for form = "tucker"')
        if self.form == "tucker" and (self.method == "kfac" or self._whole_model):
            whole_model = "keep_macs" if self.keep is None else "keep"
            what = 'method = "kfac"' if self.method == "kfac" else whole_model
            raise ValueError(f'{what} has no form = "tucker"; expected "auto", "spatial" or "channel"')
        return self

    @property
    def uses_statistics(self) -> bool:
        """See `StageSettings.uses_statistics`."""
        return self.method == "kfac"

    @property
    def decided_at_build(self) -> bool:
        """Whether ranks need data, or all layers at once."""
        return self.method == "kfac" or self._whole_model

    @property
    def _whole_model(self) -> bool:
        """Whether one budget holds for all layers together."""
        return self.keep is not None or self.keep_macs is not None

    def informed(self, *, trains: bool, calibrated: bool) -> Factorize:
        """See `StageSettings.informed`."""
        if self.method != "auto":
            return self
        weighted = self.keep_macs is not None or (calibrated and not trains and self.form != "tucker")
        return self.model_copy(update={"method": "kfac" if weighted else "svd"})

    @property
    def goal(self) -> tuple[splits.Goal, float | splits.Rank]:
        """The goal's name and value."""
        for name in GOALS:
            if (value := getattr(self, name)) is not None:
                return name, value
        if self.keep_macs is not None:
            return "keep", 1.0
        raise AssertionError("the validator admits no stage without a goal")

    def plan_layer(self, target: Target) -> Decision:
        facts = target.facts
        if (reason := refusal(self, target)) is not None:
            return Decision(reason=reason)
        if target.origin is not None:
            return Decision(reason="is a factor already")
        if facts.kind not in splits.FACTORIZABLE and not facts.kernels:
            return Decision(reason=f"{facts.kind} has no kernel")
        kernel = splits.kernel_to_split(facts)
        if isinstance(kernel, str):
            return Decision(reason=kernel)
        if kernel.size < self.min_weights:
            return Decision(reason=f"{kernel.size:,} weights: fewer than min_weights = {self.min_weights:,}")
        if self.decided_at_build:
            return self._later(target, kernel)
        cost = splits.work(facts, kernel, self.form, self.goal[0])
        if target.work_limit is not None and cost > target.work_limit:
            return Decision(
                parameters={"form": self.form, "rank": None, "kernels": [kernel.role]},
                reason="large: rank decided at build",
                undecided=True,
            )
        return self._decide(target, kernel, cost)

    def _later(self, target: Target, kernel: Kernel) -> Decision:
        by = "calibration data" if self.method == "kfac" else "all layers together"
        return Decision(
            parameters={"form": self.form, "rank": None, "kernels": [kernel.role]},
            reason=f"{self.method}: rank decided at build by {by}",
            claims=(Claim(layer=f"{target.facts.name}_reduce", kind="rank", wanted=None),),
            undecided=True,
        )

    def _decide(self, target: Target, kernel: Kernel, cost: float) -> Decision:
        goal, value = self.goal
        strides = splits.strides_of(target.facts)
        fitting = splits.forms(target.facts, self.form)
        measured = splits.needs_singular_values(goal, fitting)
        found = [splits.split(form, kernel, goal, value, strides, measured=measured) for form in fitting]
        paying = [each for each in found if each.savings.pays and _saving(each) >= self.min_saving]
        if not paying:
            nearest = max(found, key=_saving)
            return Decision(reason=self._why_not(nearest), work=cost)
        # One goal fixes the error and leaves the size to choose, the other way round for the other two.
        if goal in ("energy", "max_error"):
            best = min(paying, key=lambda each: each.savings.weights_after)
        else:
            best = min(paying, key=lambda each: each.error or 0.0)
        kept = list(best.rank) if isinstance(best.rank, tuple) else best.rank
        name = target.facts.name
        ranks = (
            {f"{name}_reduce": best.rank[0], f"{name}_core": best.rank[1]}
            if isinstance(best.rank, tuple)
            else {f"{name}_reduce": best.rank}
        )
        return Decision(
            parameters={"form": best.form, "rank": cast(Any, kept), "kernels": [kernel.role]},
            reason=f"of {_shown(best.full)}; saves {_saving(best):.0%}",
            claims=tuple(
                Claim(layer=factor, kind="rank", wanted=float(wanted)) for factor, wanted in ranks.items()
            ),
            work=cost,
        )

    def _why_not(self, split: splits.Split) -> str:
        goal, value = self.goal
        shown = list(value) if isinstance(value, tuple) else value
        savings = split.savings
        unit, before, after = max(
            ("weights", savings.weights_before, savings.weights_after),
            ("multiply-adds per position", savings.multiply_adds_before, savings.multiply_adds_after),
            key=lambda each: each[2] / each[1],
        )
        limit = f", less than min_saving = {self.min_saving:g} of them saved" if after < before else ""
        return (
            f"{goal} = {shown} needs rank {_shown(split.rank)} of {_shown(split.full)} in {split.form} form: "
            f"{after:,} {unit} instead of {before:,}{limit}"
        )

    def request(self, step: Step) -> dict[str, Json]:
        """The layers, and the goal where the backend is to choose ranks."""
        if not self.decided_at_build:
            return {"layers": as_json(step.layers)}
        goal, value = self.goal
        choice: dict[str, Json] = {
            "method": self.method,
            "goal": goal,
            "value": cast(Any, value),
            "keep_macs": self.keep_macs,
            "form": self.form,
            "min_saving": self.min_saving,
        }
        return {"layers": as_json(step.layers), "choice": choice}


def _saving(split: splits.Split) -> float:
    savings = split.savings
    return 1.0 - max(
        savings.weights_after / savings.weights_before,
        savings.multiply_adds_after / savings.multiply_adds_before,
    )


def _shown(rank: splits.Rank) -> str:
    return " × ".join(map(str, rank)) if isinstance(rank, tuple) else str(rank)
