"""`[tune]`: how `edgepack tune` searches what the recipe leaves open."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

ObjectiveName = Literal[
    "drop", "delivered_bytes", "file_bytes", "flash_bytes", "latency_ms", "arena_bytes", "macs"
]
MOST_OBJECTIVES: Final = 4


class Tune(BaseModel):
    """`[tune]`: the search over open fields: ranges and lists in stages and in `[quantize]`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)

    trials: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Points that are really built and evaluated."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    """Of the search; the recipe's `seed` when absent."""
    objectives: Annotated[tuple[ObjectiveName, ...], Field(strict=False)] = ()
    """What is made small: "drop" of the metric, "delivered_bytes", "file_bytes", "flash_bytes", "latency_ms" (by the
    device's table of measured ops), "arena_bytes", "macs". By default the drop and the size that is limited, else the
    delivered one."""
    choose: Literal["smallest", "most_accurate", "knee"] = "smallest"
    """Which point of the front is frozen: the least by the first objective that is not the drop; the least drop; or the
    one nearest to the best of all objectives at once, each scaled to the front's span."""
    sampler: Literal["proxy", "tpe", "random", "nsga2"] = "proxy"
    """"proxy": points are predicted in closed form, and only the promising ones evaluated; the others are Optuna's."""
    generation: Annotated[int, Field(ge=1, le=1000)] = 4
    """Points that are chosen together, and evaluated side by side: results do not depend on the number of workers."""
    candidates: Annotated[int, Field(ge=8, le=100_000)] = 300
    """Points that the proxy predicts in each generation."""

    @field_validator("objectives")
    @classmethod
    def _few_and_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("an objective stands there twice")
        if len(value) > MOST_OBJECTIVES:
            raise ValueError(f"expected at most {MOST_OBJECTIVES} objectives; got {len(value)}")
        return value
