"""How one layer could be factorized: which forms fit, the rank for a goal, what it saves, its factors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from edgepack.facts import Kernel, LayerFacts
from edgepack.numerics import rank
from edgepack.numerics.forms import Form, factor_shapes, full_rank
from edgepack.numerics.rank import Savings

Goal = Literal["keep", "energy", "ratio", "rank", "max_error"]
Rank = int | tuple[int, int]

FACTORIZABLE: Final = ("Dense", "Conv1D", "Conv2D", "SeparableConv1D", "SeparableConv2D")
_SIDES: Final = {"Conv1D": 1, "SeparableConv1D": 1, "Conv2D": 2, "SeparableConv2D": 2}


@dataclass(frozen=True, kw_only=True)
class Split:
    """One form at one rank.

    Attributes:
      rank: kept rank; (inputs, outputs) for "tucker".
      full: the rank at which nothing is lost.
      error: ‖W − W_r‖ / ‖W‖ (for "tucker": its upper bound); None where no singular values were needed.
    """

    form: str
    rank: Rank
    full: Rank
    savings: Savings
    error: float | None


def kernel_to_split(facts: LayerFacts) -> Kernel | str:
    """The kernel that a factorization would replace, or why there is none."""
    if facts.kind not in FACTORIZABLE:
        return f"{facts.kind} has no factorized form in stock Keras layers"
    groups = int(facts.config.get("groups", 1) or 1)
    if groups != 1:
        return f"{groups} groups: a grouped convolution is small in every group already"
    role = "pointwise" if facts.kind.startswith("Separable") else "kernel"
    found = [kernel for kernel in facts.kernels if kernel.role == role]
    return found[0] if found else "has no kernel"


def forms(facts: LayerFacts, wanted: str) -> tuple[str, ...]:
    """Forms that fit a layer; `wanted` ("auto" or a form) decides for Conv2D larger than 1×1 only."""
    if facts.kind == "Dense":
        return ("dense",)
    if facts.kind in ("Conv1D", "SeparableConv1D"):
        return ("conv1d",) if facts.kind == "Conv1D" else ("pointwise",)
    kernel = kernel_to_split(facts)
    assert not isinstance(kernel, str)
    if kernel.shape[:2] == (1, 1):
        return ("pointwise",)
    if wanted == "tucker":
        return ("tucker",)
    flat = 1 in kernel.shape[:2]
    if wanted == "auto":
        return ("channel",) if flat else ("spatial", "channel")
    return ("channel",) if flat else (wanted,)


def needs_singular_values(goal: Goal, fitting: Sequence[str]) -> bool:
    """Whether the rank, or the choice between several forms, depends on the weights and not only on the shape."""
    return goal in ("energy", "max_error") or len(fitting) > 1


def work(facts: LayerFacts, kernel: Kernel, wanted: str, goal: Goal) -> float:
    """Multiply-adds that the singular values of all fitting forms cost, roughly."""
    total = 0.0
    fitting = forms(facts, wanted)
    if not needs_singular_values(goal, fitting):
        return total
    for form in fitting:
        shape = kernel.shape
        sides = [min(shape[2:]), max(shape[2:])] if form == "tucker" else [rank_limit(form, shape)]
        total += sum(kernel.size * side + 8.0 * side**3 for side in sides)
    return total


def rank_limit(form: str, shape: Sequence[int]) -> int:
    """Full rank of a two-factor form."""
    return full_rank(cast(Form, form), shape)


def split(
    form: str,
    kernel: Kernel,
    goal: Goal,
    value: float | Rank,
    strides: Sequence[int],
    *,
    measured: bool = True,
) -> Split:
    """The split of one form that reaches a goal.

    Args:
      kernel: its spectra are needed for the goals "energy" and "max_error", and where the error is to be measured.
      value: fraction of the energy, fraction of the weights, rank, or relative error.
      strides: of the layer, one per spatial axis; () for Dense.
      measured: whether `Split.error` is wanted for goals that do not need it.
    """
    if form == "tucker":
        return _tucker_split(kernel, goal, value, strides)
    two = cast(Form, form)
    shape = kernel.shape
    singular = None
    if measured or goal in ("energy", "max_error"):
        singular = kernel.spectra(form)[0]
    if goal == "energy":
        assert singular is not None
        kept = rank.rank_for_energy(singular, cast(float, value))
    elif goal == "max_error":
        assert singular is not None
        kept = rank.rank_for_error(singular, cast(float, value))
    elif goal == "ratio":
        kept = rank.rank_for_ratio(two, shape, cast(float, value))
    else:
        kept = min(
            value if isinstance(value, int) else cast(tuple[int, int], value)[0], rank_limit(form, shape)
        )
    return Split(
        form=form,
        rank=kept,
        full=rank_limit(form, shape),
        savings=rank.saves(two, shape, kept, strides),
        error=None if singular is None else rank.relative_error(singular, kept),
    )


def _tucker_split(kernel: Kernel, goal: Goal, value: float | Rank, strides: Sequence[int]) -> Split:
    shape, full = kernel.shape, (kernel.shape[2], kernel.shape[3])
    if goal in ("energy", "max_error"):
        inputs, outputs = kernel.spectra("tucker")
        share = cast(float, value)
        kept = rank.tucker_ranks_for_energy(
            inputs, outputs, share if goal == "energy" else 1.0 - share * share
        )
    elif goal == "ratio":
        kept = rank.tucker_ranks_for_ratio(shape, cast(float, value))
    else:
        asked = value if isinstance(value, tuple) else (cast(int, value), cast(int, value))
        kept = (min(asked[0], full[0]), min(asked[1], full[1]))
    return Split(
        form="tucker", rank=kept, full=full, savings=rank.saves_tucker(shape, kept, strides), error=None
    )


def strides_of(facts: LayerFacts) -> tuple[int, ...]:
    """Strides of the kernel that is split; a separable layer's depthwise half has done them before it."""
    if facts.kind in ("Dense", "SeparableConv1D", "SeparableConv2D"):
        return ()
    strides = facts.config.get("strides", 1)
    return (strides,) * _SIDES[facts.kind] if isinstance(strides, int) else tuple(strides)


def factor_facts(facts: LayerFacts, form: str, kept: Rank) -> tuple[LayerFacts, ...]:
    """Facts of the factors that will stand in a layer's place; their kernels have shapes but no values."""
    kernel = kernel_to_split(facts)
    assert not isinstance(kernel, str)
    shape = kernel.shape
    if form == "tucker":
        inner, outer = cast(tuple[int, int], kept)
        shapes = [(1, 1, shape[2], inner), (*shape[:2], inner, outer), (1, 1, outer, shape[3])]
        names = ["reduce", "core", "expand"]
    else:
        shapes = list(factor_shapes(cast(Form, form), shape, cast(int, kept)))
        names = ["reduce", "expand"]
    kind = facts.kind.removeprefix("Separable")
    made = [(name, kind, "kernel", shape) for name, shape in zip(names, shapes, strict=True)]
    for other in facts.kernels:
        if other.role == "depthwise":
            made.insert(0, ("depthwise", f"Depthwise{kind}", "depthwise", other.shape))
    bias = facts.parameters - sum(each.size for each in facts.kernels)
    return tuple(
        _factor(facts, made, number, bias if number == len(made) - 1 else 0) for number in range(len(made))
    )


def _factor(
    whole: LayerFacts, made: Sequence[tuple[str, str, str, tuple[int, ...]]], number: int, bias: int
) -> LayerFacts:
    suffix, kind, role, shape = made[number]
    last = len(shape) - 1
    axes = (last - 1, last) if role == "depthwise" else (last,)
    feeds = whole.feeds if number == len(made) - 1 else (f"{whole.name}_{made[number + 1][0]}",)
    return LayerFacts(
        name=f"{whole.name}_{suffix}",
        kind=kind,
        kernels=(Kernel(role=role, shape=shape, index=0, channel_axes=axes),),
        parameters=math.prod(shape) + bias,
        shared=whole.shared,
        config=_factor_config(whole.config),
        feeds=feeds,
    )


def _factor_config(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in ("padding", "data_format", "groups") if key in config}
