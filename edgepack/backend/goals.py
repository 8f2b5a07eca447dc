"""What pruning shall make of each kernel, and the masks that do it in one shot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgepack import errors
from edgepack.backend.kernels import KernelVariable, kernel_variables, named_layer
from edgepack.numerics import sparsity as numerics


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One kernel to be pruned.

    Attributes:
      kernel: which.
      sparsity: 0 … 1, the fraction of zeros asked for; 0 with a threshold.
      threshold: every |w| below it becomes zero; None without.
      pattern: None (single weights), "block" (with `block`), or "m:n" (with `group`).
      block: rows and columns that become zero together.
      group: (m, n): m zeros in every n neighbours along the input channels.
      schedule: "polynomial" or "constant", for pruning while training.
      ramp: 0 … 1, share of the training until the schedule's end.
      initial_sparsity: 0 … 1, where the polynomial schedule begins.
    """

    kernel: KernelVariable
    sparsity: float = 0.0
    threshold: float | None = None
    pattern: str | None = None
    block: tuple[int, int] = (1, 1)
    group: tuple[int, int] = (0, 1)
    schedule: str = "polynomial"
    ramp: float = 0.5
    initial_sparsity: float = 0.0

    def on(self, model: Any) -> Goal:
        """The same goal for the kernel of the same name in another copy of the model."""
        for kernel in kernel_variables(named_layer(model, self.kernel.layer)):
            if kernel.role == self.kernel.role:
                return replace(self, kernel=kernel)
        raise errors.ModelError(f"layer {self.kernel.layer!r} has no kernel {self.kernel.role!r}")

    def cut(self, mask: np.ndarray) -> None:
        """Sets the weights outside the mask to zero (positive zero, so that files repeat)."""
        value = self.kernel.value()
        self.kernel.variable.assign(np.where(mask, value, np.zeros_like(value)))


def goals(model: Any, layers: Mapping[str, Mapping[str, Any]]) -> list[Goal]:
    """The goals that `stages.prune.Prune.plan_layer` wrote, on the variables of a live model.

    Args:
      model: a built tf_keras model.
      layers: {name: {"sparsity" | "threshold", "pattern", "block", "kernels": [roles], "schedule", …}};
        without "kernels" every kernel of the layer is meant.

    Raises:
      ModelError: a layer does not exist.
    """
    found = []
    for name, parameters in layers.items():
        roles = parameters.get("kernels")
        pattern = parameters.get("pattern")
        zeros, _, neighbours = str(pattern or "0:1").partition(":")
        grouped = pattern is not None and pattern != "block"
        for kernel in kernel_variables(named_layer(model, name)):
            if roles is not None and kernel.role not in roles:
                continue
            found.append(
                Goal(
                    kernel=kernel,
                    sparsity=parameters.get("sparsity") or 0.0,
                    threshold=parameters.get("threshold"),
                    pattern=pattern,
                    block=tuple(parameters.get("block") or (1, 1)),
                    group=(int(zeros), int(neighbours)) if grouped else (0, 1),
                    schedule=parameters.get("schedule", "polynomial"),
                    ramp=parameters.get("ramp", 0.5),
                    initial_sparsity=parameters.get("initial_sparsity", 0.0),
                )
            )
    return found


def masks(goals: Sequence[Goal], scope: str, scores: Sequence[np.ndarray] | None = None) -> list[np.ndarray]:
    """The mask of each goal, True where a weight stays.

    Args:
      scope: "layer", or "global" for one ranking of all weights.
      scores: arrays of the kernels' shapes whose smallest magnitudes are cut; the weights as they are now when absent.
    """
    values = [goal.kernel.value() for goal in goals] if scores is None else scores
    if scope == "global" and goals:
        return numerics.global_masks(values, goals[0].sparsity)
    return [_mask(goal, value) for goal, value in zip(goals, values, strict=True)]


def _mask(goal: Goal, value: np.ndarray) -> np.ndarray:
    if goal.threshold is not None:
        return numerics.threshold_mask(value, goal.threshold)
    if goal.pattern == "block":
        return numerics.block_mask(value, goal.sparsity, goal.block)
    if goal.pattern is not None:
        return numerics.pattern_mask(value, *goal.group, axis=input_axis(goal.kernel))
    return numerics.fraction_mask(value, goal.sparsity)


def input_axis(kernel: KernelVariable) -> int:
    """The axis of the input channels, along which m:n groups lie: the last one that is not an output
    channel.
    """
    rest = [axis for axis in range(len(kernel.variable.shape)) if axis not in kernel.channel_axes]
    return rest[-1]
