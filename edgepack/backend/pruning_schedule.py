"""Zeros that appear while a model trains: TF-MOT's schedules and masks, inside our own training step.

TF-MOT's `prune_low_magnitude` wraps layers, needs a callback, and knows neither Bidirectional nor the
depthwise half of a SeparableConv; a model with its wrappers cannot hold another layer's clusters. Its
schedules (`PolynomialDecay`, `ConstantSparsity`) and its mask arithmetic (`pruning_impl.Pruning`) need no
wrapper, so they are used here directly on the variables, for every layer kind alike. edgepack adds the masks
that TF-MOT does not have: one threshold over several layers, |w| < threshold, blocks and m:n in arrays that
are not matrices or Conv2D kernels.

Source: Zhu and Gupta (2017), "To prune, or not to prune", eq. 1 (the cubic schedule).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgepack.backend import tfmot
from edgepack.backend.goals import Goal, masks

MASK_UPDATES = 20
"""How often masks are chosen anew while the schedule runs (TF-MOT's default, every 100 steps, is for long
trainings).
"""


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """When masks change, in updates counted from 1.

    Attributes:
      end: the last update that changes masks.
      every: updates between two changes.
    """

    end: int
    every: int

    @classmethod
    def over(cls, updates: int, share: float) -> Ramp:
        """The ramp over the first `share` of a training.

        Example:
          >>> Ramp.over(100, 0.5), Ramp.over(1, 0.5)
          (Ramp(end=49, every=2), Ramp(end=1, every=1))
        """
        last = max(1, round(share * updates))
        every = max(1, last // MASK_UPDATES)
        return cls(end=1 + (last - 1) // every * every, every=every)


class ScheduledPruning:
    """Masks of several kernels that grow along a schedule; a `step.Pruning`.

    Args:
      goals: kernels with what they shall become.
      scope: "layer", or "global" for one threshold over all of them.
      updates: of the whole training.
    """

    def __init__(self, goals: Sequence[Goal], scope: str, updates: int) -> None:
        import tensorflow as tf

        self._goals, self._scope = list(goals), scope
        self._ramp = Ramp.over(updates, max(goal.ramp for goal in goals))
        self._masks = [
            tf.Variable(tf.ones(goal.kernel.variable.shape, goal.kernel.variable.dtype), trainable=False)
            for goal in goals
        ]
        self._step: Any = None
        self._choosers: list[Any] = []
        if scope == "global":
            self._schedule = schedule(goals[0], goals[0].sparsity, self._ramp)
        else:
            self._choosers = [
                _chooser(goal, mask, self._ramp, lambda: self._step)
                for goal, mask in zip(goals, self._masks, strict=True)
            ]

    def update(self, step: Any) -> None:
        """Chooses masks where the schedule says so, and sets masked weights to zero."""
        import tensorflow as tf

        self._step = step
        if self._scope == "global":
            self._choose_globally(step)
        for chooser in self._choosers:
            if chooser is not None:
                chooser.conditional_mask_update()
        for goal, mask in zip(self._goals, self._masks, strict=True):
            value = tf.convert_to_tensor(goal.kernel.variable)
            goal.kernel.variable.assign(tf.where(tf.convert_to_tensor(mask) != 0, value, 0.0))

    def settled(self, step: int) -> bool:
        """Whether the schedule has reached its end."""
        return step >= self._ramp.end

    def finish(self) -> None:
        """Makes the asked sparsity exact from below: TF-MOT rounds, and keeps all weights equal to its
        threshold.
        """
        for goal, mask in zip(self._goals, masks(self._goals, self._scope), strict=True):
            if goal.threshold is None:  # a threshold is meant for the weights before training
                goal.cut(mask)

    def _choose_globally(self, step: Any) -> None:
        import tensorflow as tf

        should, fraction = self._schedule(step)
        magnitudes = [tf.abs(tf.convert_to_tensor(goal.kernel.variable)) for goal in self._goals]

        def choose() -> Any:
            ordered = tf.sort(tf.concat([tf.reshape(part, [-1]) for part in magnitudes], axis=0))
            count = tf.cast(tf.math.ceil(fraction * tf.cast(tf.size(ordered), tf.float32)), tf.int32)
            threshold = ordered[tf.minimum(count, tf.size(ordered) - 1)]
            for mask, part in zip(self._masks, magnitudes, strict=True):
                mask.assign(tf.cast(part >= threshold, mask.dtype))
            return True

        tf.cond(should, choose, lambda: False)


def schedule(goal: Goal, fraction: float, ramp: Ramp) -> Any:
    """TF-MOT's schedule object: called with a step, it answers (choose now?, fraction of zeros)."""
    schedules = tfmot.part("sparsity.keras")

    if goal.schedule == "constant" or ramp.end == 1:
        return schedules.ConstantSparsity(fraction, begin_step=1, end_step=ramp.end, frequency=ramp.every)
    return schedules.PolynomialDecay(
        initial_sparsity=min(goal.initial_sparsity, fraction),
        final_sparsity=fraction,
        begin_step=1,
        end_step=ramp.end,
        power=3,
        frequency=ramp.every,
    )


def _chooser(goal: Goal, mask: Any, ramp: Ramp, step: Any) -> Any:
    """TF-MOT's mask arithmetic for one kernel; None where its mask is set once, by our own."""
    import tensorflow as tf

    value = goal.kernel.value()
    matrix = value.ndim == 2 and goal.kernel.channel_axes == (1,)
    convolution = value.ndim == 4 and goal.kernel.channel_axes == (3,)
    known = {None: True, "block": matrix}.get(goal.pattern, matrix or convolution)
    if goal.threshold is not None or not known:
        (kept,) = masks([goal], "layer")
        mask.assign(kept.astype(value.dtype))
        return None
    # TF-MOT rounds to the nearest count; the asked fraction is a floor.
    fraction = min(math.ceil(goal.sparsity * value.size - 1e-9 * value.size) / value.size, np.nextafter(1, 0))
    return tfmot.part("python.core.sparsity.keras.pruning_impl").Pruning(
        training_step_fn=step,
        pruning_vars=[(goal.kernel.variable, mask, tf.Variable(0.0, trainable=False))],
        pruning_schedule=schedule(goal, fraction, ramp),
        block_size=goal.block if goal.pattern == "block" else (1, 1),
        block_pooling_type="AVG",
        sparsity_m_by_n=goal.group if goal.pattern not in (None, "block") else None,
    )
