"""`use = "prune"`: weights become zero: the smallest (Zhu and Gupta, "To prune, or not to prune", 2017), or those that the
loss depends on least (`numerics.obs_prune`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgepack.records import Claim, Json
from edgepack.stages.selectors import Selector
from edgepack.stages.settings import (
    Decision,
    StageSettings,
    Step,
    Target,
    as_json,
    called_on,
    refusal,
    trivial_share,
)
from edgepack.stages.training import Positive

if TYPE_CHECKING:
    from edgepack.facts import Kernel

Sparsity = Annotated[float, Field(gt=0.0, lt=1.0)]
_PATTERN = re.compile(r"^([1-9]\d?):([1-9]\d?)$")


class PruneTarget(BaseModel):
    """``[[stage.target]]``: another sparsity or threshold for the layers it selects; the last match wins."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    layers: Selector
    sparsity: Sparsity | None = None
    threshold: Positive | None = None

    @model_validator(mode="after")
    def _one_goal(self) -> PruneTarget:
        if (self.sparsity is None) == (self.threshold is None):
            raise ValueError("give either sparsity or threshold")
        return self


class Prune(StageSettings):
    """Pruning.

    Exactly one goal: `sparsity` (a fraction of the weights), `threshold` (every |w| below it), or a m:n
    `structure` that is its own goal.
    """

    use: Literal["prune"] = "prune"
    method: Literal["auto", "magnitude", "obs"] = "auto"
    """"magnitude": the smallest weights go; "obs": those whose absence costs the loss least, by statistics of the
    calibration data, and the others make up for them; "auto": "obs" where the stage does not train."""
    sparsity: Sparsity | None = None
    """Fraction of zeros, per layer, or over all selected layers together with scope = "global"."""
    threshold: Positive | None = None
    """Every weight with |w| < threshold becomes zero."""
    scope: Literal["layer", "global"] = "layer"
    """Whether every layer gets the fraction, or one ranking of all weights decides."""
    schedule: Literal["polynomial", "constant"] = "polynomial"
    """While training: sparsity rises along a cubic until `ramp`, or is whole from the start."""
    ramp: Annotated[float, Field(gt=0.0, le=1.0)] = 0.5
    """Share of the training after which the polynomial schedule has reached its goal."""
    initial_sparsity: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Where the polynomial schedule begins."""
    structure: str = "unstructured"
    """"unstructured", "block" (with `block`), or "m:n" such as "2:4": m of each n input channels."""
    block: Annotated[tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]], Field(strict=False)] = (
        1,
        4,
    )
    """[inputs, outputs] that become zero together."""
    policy: Literal["xnnpack_latency"] | None = None
    """Only what XNNPACK runs sparse (float 1×1 convolutions), as TF-MOT's PruneForLatencyOnXNNPack."""
    target: Annotated[tuple[PruneTarget, ...], Field(strict=False)] = ()
    """Other goals for some of the layers."""

    @model_validator(mode="after")
    def _one_goal(self) -> Prune:
        goals = [name for name in ("sparsity", "threshold") if getattr(self, name) is not None]
        if self.structure not in ("unstructured", "block"):
            zeros, group = self._zeros_of_group()
            if goals:
                raise ValueError(f'structure = "{self.structure}" is a goal of its own; remove {goals[0]}')
            if self.target:
                raise ValueError(
                    f'structure = "{self.structure}" is a goal of its own; remove [[stage.target]]'
                )
            if self.scope == "global":
                raise ValueError(
                    f'structure = "{self.structure}" holds in every layer; scope = "global" has no meaning'
                )
            if zeros >= group:
                raise ValueError(
                    f'structure = "{self.structure}" leaves no weight; the first number must be smaller'
                )
        elif len(goals) != 1:
            raise ValueError("give either sparsity or threshold" + (", not both" if goals else ""))
        if self.threshold is not None and (self.scope == "global" or self.structure == "block"):
            raise ValueError('threshold goes with scope = "layer" and without blocks')
        if self.scope == "global" and self.target:
            raise ValueError('[[stage.target]] gives layers a goal each; remove scope = "global"')
        if self.sparsity is not None and self.initial_sparsity >= self.sparsity:
            raise ValueError(
                f"initial_sparsity = {self.initial_sparsity} is not below sparsity = {self.sparsity}"
            )
        return self

    def _zeros_of_group(self) -> tuple[int, int]:
        match = _PATTERN.match(self.structure)
        if match is None:
            raise ValueError(
                f'structure = "{self.structure}": expected "unstructured", "block" or "m:n" such as "2:4"'
            )
        return int(match[1]), int(match[2])

    @property
    def uses_statistics(self) -> bool:
        """See `StageSettings.uses_statistics`."""
        return self.method == "obs"

    def informed(self, *, trains: bool, calibrated: bool) -> Prune:
        """See `StageSettings.informed`."""
        if self.method != "auto":
            return self
        return self.model_copy(update={"method": "obs" if calibrated and not trains else "magnitude"})

    def selectors(self) -> tuple[Selector, ...]:
        return (self.layers, *(target.layers for target in self.target))

    def plan_layer(self, target: Target) -> Decision:
        facts = target.facts
        if (reason := refusal(self, target)) is not None:
            return Decision(reason=reason)
        if not facts.kernels:
            return Decision(reason=f"{facts.kind} has no kernel")
        reasons, kernels = [], []
        for kernel in facts.kernels:
            reason = self._reason_against(kernel, target)
            if reason is None:
                kernels.append(kernel)
            else:
                reasons.append(reason if len(facts.kernels) == 1 else f"{kernel.role}: {reason}")
        remark = "; ".join(reasons)
        if not kernels:
            return Decision(reason=remark)
        goal = self._goal(target)
        parameters: dict[str, Json] = {**goal, "kernels": [kernel.role for kernel in kernels]}
        if self.train.on:
            parameters |= {
                "schedule": self.schedule,
                "ramp": self.ramp,
                "initial_sparsity": self.initial_sparsity,
            }
        if self.policy is not None:
            parameters["policy"] = self.policy
        wanted = goal.get("sparsity") if self.scope == "layer" else None
        claims = tuple(
            Claim(
                layer=facts.name,
                kind="sparsity",
                wanted=wanted if isinstance(wanted, float) else None,
                role=kernel.role,
            )
            for kernel in kernels
        )
        return Decision(parameters=parameters, reason=remark, claims=claims)

    def _goal(self, target: Target) -> dict[str, Json]:
        if self.structure not in ("unstructured", "block"):
            zeros, group = self._zeros_of_group()
            return {"pattern": self.structure, "sparsity": zeros / group}
        sparsity, threshold = self.sparsity, self.threshold
        for special in self.target:
            if special.layers.selects(target.facts, origin=target.origin):
                sparsity, threshold = special.sparsity, special.threshold
        goal: dict[str, Json] = {"threshold": threshold} if threshold is not None else {"sparsity": sparsity}
        if self.structure == "block":
            goal |= {"pattern": "block", "block": list(self.block)}
        return goal

    def _reason_against(self, kernel: Kernel, target: Target) -> str | None:
        facts, asked = target.facts, called_on(self, target)
        if self.policy == "xnnpack_latency" and not (facts.kind == "Conv2D" and kernel.shape[:2] == (1, 1)):
            return "XNNPACK runs only 1×1 convolutions sparse"
        if not asked:
            if kernel.role == "depthwise":
                return "depthwise kernels are small and lose much accuracy; name the layer to prune it"
            if kernel.role == "embedding":
                return "rows are looked up, not multiplied; name the layer to prune it"
            if (reason := trivial_share(kernel, target)) is not None:
                return reason
        return self._shape_against(kernel)

    def _shape_against(self, kernel: Kernel) -> str | None:
        if self.structure == "unstructured":
            return None
        if len(kernel.shape) < 2 or len(kernel.channel_axes) != 1 or kernel.role == "depthwise":
            return f'structure "{self.structure}" needs a kernel with one axis of output channels'
        outputs = kernel.shape[kernel.channel_axes[0]]
        axis = (
            len(kernel.shape) - 2
            if kernel.channel_axes[0] == len(kernel.shape) - 1
            else len(kernel.shape) - 1
        )
        inputs = kernel.shape[axis]
        if self.structure == "block":
            if inputs % self.block[0] or outputs % self.block[1]:
                return f"{inputs} inputs × {outputs} outputs do not divide into blocks of {list(self.block)}"
            return None
        group = self._zeros_of_group()[1]
        return f"{inputs} input channels do not divide into groups of {group}" if inputs % group else None

    def request(self, step: Step) -> dict[str, Json]:
        """See `StageSettings.request`."""
        method = "obs" if self.method == "obs" else "magnitude"
        return {"layers": as_json(step.layers), "scope": self.scope, "method": method}
