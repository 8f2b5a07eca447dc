"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from edgepack import errors

EXPONENTIAL_END = 0.05
"""The exponential schedule ends at this fraction of the first learning rate."""
SGD_MOMENTUM = 0.9


def optimizer(name: str, rate: Any) -> Any:
    """A fresh tf_keras optimizer.

    Args:
      name: "adam", "adamw", "sgd" (momentum 0.9) or "rmsprop".
      rate: learning rate or schedule.

    Raises:
      RecipeError: unknown name.
    """
    if name not in _OPTIMIZERS:
        raise errors.RecipeError(
            f"[training] optimizer {name!r} is unknown; expected one of {', '.join(_OPTIMIZERS)}"
        )
    return _OPTIMIZERS[name](rate)


def learning_rate(schedule: str, first: float, steps: int) -> Any:
    """The learning rate over a training.

    Args:
      schedule: "constant"; "cosine" (to zero; Loshchilov and Hutter 2017, eq. 5 without restarts);
        "exponential" (to 5 % of `first`).
      first: learning rate of the first step.
      steps: updates in the whole training.

    Raises:
      RecipeError: unknown name.
    """
    from tf_keras.optimizers import schedules

    if schedule == "constant":
        return first
    if schedule == "cosine":
        return schedules.CosineDecay(first, decay_steps=max(1, steps))
    if schedule == "exponential":
        return schedules.ExponentialDecay(first, decay_steps=max(1, steps), decay_rate=EXPONENTIAL_END)
    raise errors.RecipeError(
        f"[training] schedule {schedule!r} is unknown; expected constant, cosine or exponential"
    )


def _adam(rate: Any) -> Any:
    import tf_keras

    return tf_keras.optimizers.Adam(rate)


def _adamw(rate: Any) -> Any:
    import tf_keras

    return tf_keras.optimizers.AdamW(rate)


def _sgd(rate: Any) -> Any:
    import tf_keras

    return tf_keras.optimizers.SGD(rate, momentum=SGD_MOMENTUM)


def _rmsprop(rate: Any) -> Any:
    import tf_keras

    return tf_keras.optimizers.RMSprop(rate)


_OPTIMIZERS: Final[dict[str, Callable[[Any], Any]]] = {
    "adam": _adam,
    "adamw": _adamw,
    "sgd": _sgd,
    "rmsprop": _rmsprop,
}
