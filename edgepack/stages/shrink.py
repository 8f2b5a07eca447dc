"""`use = "shrink"`: channels, units and residual blocks really removed; what stays is smaller and faster everywhere."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field, model_validator

from edgepack.records import Claim, Json
from edgepack.stages.settings import Decision, StageSettings, Step, Target, as_json, refusal
from edgepack.stages.training import Training

Share = Annotated[float, Field(gt=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
CLAIMED: Final = ("Dense", "Conv1D", "Conv2D")
"""Kinds whose kernel the exported file shows with one row an output channel."""
GOALS: Final = ("keep", "macs", "blocks")


class Shrink(StageSettings):
    """Makes a smaller model with the same layer names; every later stage acts on it.

    Runs before all stages but students. "exact" takes out channels that are provably without use and changes no output;
    "structured" takes out the channels that cost least, in groups of `align`, and lets the layers behind them make up
    for it; "depth" takes out whole residual blocks.
    """

    makes_new_architecture: ClassVar[bool] = True
    keeps_normalizations: ClassVar[bool] = True

    use: Literal["shrink"] = "shrink"
    mode: Literal["exact", "structured", "depth"] = "exact"
    """"exact": dead channels only, outputs stay equal; "structured": by `keep` or `macs`; "depth": residual blocks, by
    `blocks`, `keep` or `macs`."""
    keep: Share | None = None
    """Share of the multiply-adds (see `of`) that stays."""
    of: Literal["macs", "parameters"] = "macs"
    """What `keep` is a share of."""
    macs: Count | None = None
    """Or: so many multiply-adds at most."""
    blocks: Count | None = None
    """Or, with mode = "depth": so many residual blocks go."""
    align: Annotated[int, Field(ge=1, le=256)] = 8
    """Widths become multiples of this: the lanes that the device's int8 kernels fill at once."""
    importance: Literal["fisher", "l1_share"] = "fisher"
    """"fisher": the loss that losing a channel costs after the layers that read it have made up for it, from calibration
    data; "l1_share": a unit's share of its layer's absolute weight."""
    cost: Literal["macs", "parameters", "latency"] | None = None
    """What a loss is weighed against when widths are chosen; by default what the goal counts. "latency": microseconds by
    `table`."""
    table: str = "x86-64"
    """Of measured ops, for cost = "latency": a file of devices/latency."""
    train: Training = Field(default_factory=lambda: Training(epochs=8, learning_rate=1e-3))

    @model_validator(mode="before")
    @classmethod
    def _exact_does_not_train(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("mode", "exact") == "exact" and "train" not in value:
            return {**value, "train": False}
        return value

    @model_validator(mode="after")
    def _one_goal(self) -> Shrink:
        goals = [name for name in GOALS if getattr(self, name) is not None]
        if self.mode == "exact":
            if goals:
                raise ValueError(
                    f'{goals[0]} is a goal for mode = "structured" or "depth"; "exact" takes what it finds'
                )
            if self.train.on:
                raise ValueError(
                    'mode = "exact" changes no output: there is nothing to train; remove `train`'
                )
        elif len(goals) != 1:
            wanted = "keep or macs" if self.mode == "structured" else "blocks, keep or macs"
            raise ValueError(f"give exactly one of {wanted}" + (f"; got {', '.join(goals)}" if goals else ""))
        if self.blocks is not None and self.mode != "depth":
            raise ValueError('blocks goes with mode = "depth"')
        if self.cost is not None and self.mode != "structured":
            raise ValueError('cost goes with mode = "structured"')
        if self.of == "parameters" and (self.keep is None or self.mode != "structured"):
            raise ValueError('of = "parameters" goes with keep and mode = "structured"')
        return self

    @property
    def uses_statistics(self) -> bool:
        """Whether channels are judged by data."""
        return self.mode != "exact"

    def plan_layer(self, target: Target) -> Decision:
        """Which layers may be narrowed; how far is decided at build, since widths hang together."""
        facts = target.facts
        if (reason := refusal(self, target)) is not None:
            return Decision(reason=reason)
        if not facts.kernels:
            return Decision(reason=f"{facts.kind} has no width of its own")
        claims: tuple[Claim, ...] = ()
        if facts.kind in CLAIMED:
            claims = (Claim(layer=facts.name, kind="channels", wanted=None, role=facts.kernels[0].role),)
        return Decision(parameters={}, reason="width decided at build", claims=claims)

    def request(self, step: Step) -> dict[str, Json]:
        """The goal, and the layers that may be narrowed."""
        keys = {"mode", "keep", "of", "macs", "blocks", "align", "importance", "cost"}
        settings: dict[str, Json] = self.model_dump(mode="json", include=keys)
        if self.cost == "latency":
            from edgepack.device import latency_model

            settings["table"] = latency_model(self.table).to_json()
        return {"layers": as_json(step.layers), "settings": settings}
